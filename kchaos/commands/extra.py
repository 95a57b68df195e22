"""Libraries that only some commands need: what is missing is said in one sentence, with the command that gets it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from kchaos.errors import HarnessError


def needed(extra: str, modules: Sequence[str]) -> None:
    """Raise HarnessError if a module of an extra is not installed."""
    missing = [name for name in modules if not _there(name)]
    if missing:
        raise HarnessError(f"this needs Python packages that are not installed ({', '.join(missing)}): pip install 'kchaos[{extra}]'")


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a part of a package that is not there either
        return False
