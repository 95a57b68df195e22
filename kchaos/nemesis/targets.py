"""Symbolic targets: text such as ``leader(kube-scheduler)`` in a step, resolved to names when the fault fires.

A backend says what its words mean; here is only how they are written and what resolving returns. A target that means nothing at that
moment is no error: the fault is inert, and says why.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"([a-z]+(?:-[a-z]+)*)\(\s*([^()]*?)\s*\)")


class Call(NamedTuple):
    """A symbolic target as it is written: ``word(argument)``."""

    word: str
    argument: str

    @classmethod
    def of(cls, text: str) -> Call | None:
        """Return what a target says, None for a plain name."""
        found = _FORM.fullmatch(text.strip())
        return cls(found[1], found[2]) if found is not None else None


class Resolved(NamedTuple):
    """What a target stands for now: names, and in words what they are (empty for a plain name). No names: ``words`` says why."""

    names: tuple[str, ...]
    words: str = ""
