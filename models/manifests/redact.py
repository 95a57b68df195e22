"""Secret values never enter a run: they are replaced by hashes as soon as they are read.

Replaced: ``data`` and ``stringData`` of Secrets, ``value`` of environment variables, kubectl's last-applied annotation; and what looks
like a secret where none belongs: values of ConfigMap keys and of options in commands whose name says password, token, secret or key.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from kchaos.models.api.tree import Obj

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


_SECRET_NAME = re.compile(r"(?i)passw|passphrase|secret|token|credential|api[-_.]?key|private[-_.]?key|authorization")
_OPTION = re.compile(
    r"(?i)((?:[\w.-]*(?:passw\w*|passphrase|secret|token|credentials?|api[-_.]?key|private[-_.]?key)[\w.-]*\s*[=:]\s*"
    r"|authorization:\s*(?:basic|bearer)?\s*))([^\s'\",;@$][^\s'\",;@]*)"
)
"""An option's or header's name, then its value; ``$(VARIABLE)`` is no secret."""


_URL = re.compile(r"(://[^\s:/@]+:)([^\s/@$]+)(?=@)")


def hashed(value: Any) -> str:
    """Return ``sha256:`` and 12 hex digits of a value's text."""
    return "sha256:" + hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def redact(obj: Obj) -> Obj:
    """Return the object without secret values; the rest is shared."""
    meta = obj.get("metadata")
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    if isinstance(meta, dict) and isinstance(notes, dict) and LAST_APPLIED in notes:
        obj = {**obj, "metadata": {**meta, "annotations": {**notes, LAST_APPLIED: hashed(notes[LAST_APPLIED])}}}
    if obj.get("kind") == "Secret":
        out = dict(obj)
        if isinstance(obj.get("data"), dict):
            out["data"] = {key: _encoded(value) for key, value in obj["data"].items()}
        if isinstance(obj.get("stringData"), dict):
            out["stringData"] = {key: hashed(value) for key, value in obj["stringData"].items()}
        return out
    if obj.get("kind") == "ConfigMap" and isinstance(obj.get("data"), dict):
        data = {
            key: hashed(value) if isinstance(value, str) and _SECRET_NAME.search(str(key)) else value for key, value in obj["data"].items()
        }
        obj = {**obj, "data": data}
    found: Obj = _env(obj)
    return found


def _encoded(value: Any) -> Any:
    """Return valid base64 for valid base64: what the API server refuses must stay refused."""
    if not isinstance(value, str):
        return value
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return "not base64: " + hashed(value)
    return base64.b64encode(hashed(value).encode()).decode()


def _command(words: list[Any]) -> list[Any]:
    """Return a command line without the values of options that name a secret: ``--password=x`` and ``--password x``."""
    out: list[Any] = []
    for word in words:
        before = out[-1] if out else None
        if not isinstance(word, str):
            out.append(word)
        elif (
            isinstance(before, str)
            and before.startswith("-")
            and "=" not in before
            and _SECRET_NAME.search(before)
            and word[:1] not in "-$"
        ):
            out.append(hashed(word))
        else:
            bare = _URL.sub(lambda m: m[1] + hashed(m[2]), word)
            out.append(_OPTION.sub(lambda m: m[1] + hashed(m[2]), bare))
    return out if out != words else words


def _env(tree: Any) -> Any:
    if isinstance(tree, list):
        items = [_env(item) for item in tree]
        return items if any(a is not b for a, b in zip(items, tree, strict=True)) else tree
    if not isinstance(tree, dict):
        return tree
    out = tree
    for key, value in tree.items():
        if key == "env" and isinstance(value, list):
            new: Any = [
                {**one, "value": hashed(one["value"])}
                if isinstance(one, dict) and isinstance(one.get("value"), str) and one["value"]
                else one
                for one in value
            ]
        elif key in ("command", "args") and isinstance(value, list):
            new = _command(value)
        elif isinstance(value, dict | list):
            new = _env(value)
        else:
            continue
        if new is not value:
            out = {**out, key: new}
    return out
