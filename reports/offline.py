"""A page of one file that asks for nothing: templates, style and script of ours in it, all else escaped, a policy that allows no more."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

MOST = 1_000_000
"""Bytes of a page: one that would be larger has shorter lists and fewer pictures."""
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What may not stand in HTML, or can't be written as UTF-8."""


def fill(template: str, helpers: Mapping[str, Any], values: Mapping[str, Any], package: str = "") -> str:
    """Return the page that a template makes of values.

    ``package``: beside this package's templates and style, those of one more; ``helpers`` is what templates may call. A template gets
    ``style``, ``script`` and ``script_hash`` (for its Content-Security-Policy).
    """
    packages = [__package__, *([package] if package else [])]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=DictLoader({name: text for one in packages for name, text in _files(one, ".j2").items()}),
    )  # fmt: skip
    environment.globals.update(helpers)
    environment.filters["zip"] = zip
    style = "\n".join(text for one in packages for text in _files(one, ".css").values())
    script = _files(__package__, ".js")["report.js"]
    page = environment.get_template(template).render(
        values, script=Markup(script), style=Markup(style), script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip
    return _UNFIT.sub("\ufffd", page)


def _files(package: str, ending: str) -> dict[str, str]:
    files = resources.files(package).iterdir()
    return {one.name: one.read_text(encoding="utf-8") for one in files if one.name.endswith(ending)}
