"""Field errors and the 422 Status made of them.

Sources: k8s.io/apimachinery/pkg/util/validation/field/errors.go, pkg/api/errors/errors.go (NewInvalid).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj

REQUIRED, INVALID, DUPLICATE, FORBIDDEN = "Required value", "Invalid value", "Duplicate value", "Forbidden"
UNSUPPORTED, NOT_FOUND, TOO_LONG, TOO_MANY = "Unsupported value", "Not found", "Too long", "Too many"
_REASONS = {
    REQUIRED: "FieldValueRequired", INVALID: "FieldValueInvalid", DUPLICATE: "FieldValueDuplicate",
    FORBIDDEN: "FieldValueForbidden", UNSUPPORTED: "FieldValueNotSupported", NOT_FOUND: "FieldValueNotFound",
    TOO_LONG: "FieldValueTooLong", TOO_MANY: "FieldValueTooMany",
}  # fmt: skip
_SILENT = (REQUIRED, FORBIDDEN, TOO_LONG)
_ORDER = (
    "matchLabels", "matchExpressions", "apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion",
    "key", "operator", "values",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A bad value that is shown as it is written here, not as JSON (internal Go structs)."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: ``type`` as the server words it (``Required value``), ``value`` the bad one."""

    path: str
    type: str
    detail: str = ""
    value: Any = None

    def body(self) -> str:
        """Return the message without the path."""
        head = self.type if self.type in _SILENT else f"{self.type}: {shown(self.value)}"
        return f"{head}: {self.detail}" if self.detail else head

    def message(self) -> str:
        """Return ``path: what is wrong``."""
        return f"{self.path}: {self.body()}"


Errors = list[FieldError]


def required(path: str, detail: str = "") -> FieldError:
    """Return the error of a member that is missing."""
    return FieldError(path, REQUIRED, detail)


def invalid(path: str, value: Any, detail: str = "") -> FieldError:
    """Return the error of a value that breaks a rule."""
    return FieldError(path, INVALID, detail, value)


def duplicate(path: str, value: Any) -> FieldError:
    """Return the error of a value that must be unique."""
    return FieldError(path, DUPLICATE, "", value)


def forbidden(path: str, detail: str) -> FieldError:
    """Return the error of a member that must not be there."""
    return FieldError(path, FORBIDDEN, detail)


def not_found(path: str, value: Any) -> FieldError:
    """Return the error of a reference to nothing."""
    return FieldError(path, NOT_FOUND, "", value)


def unsupported(path: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """Return the error of a value outside a fixed set; ``allowed`` in the order in which the server lists them."""
    return FieldError(path, UNSUPPORTED, "supported values: " + ", ".join(f'"{one}"' for one in allowed), value)


def too_long(path: str, limit: int) -> FieldError:
    """Return the error of too many bytes."""
    return FieldError(path, TOO_LONG, f"may not be more than {limit} byte{'' if limit == 1 else 's'}")


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        rank = {key: index for index, key in enumerate(_ORDER)}
        keys = sorted(value, key=lambda key: (rank.get(key, len(rank)), key))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list):
        return [_ordered(one) for one in value]
    return value


def shown(value: Any) -> str:
    """Return a bad value as the server prints it: strings quoted as Go does, anything else as Go's JSON."""
    if isinstance(value, Text):
        return value.text
    text = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str):
        return text
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def status_error(resource: Resource, name: str, errors: Errors) -> Obj:
    """Return the Status (422) for one or more field errors."""
    texts = list(dict.fromkeys(error.message() for error in errors))
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Obj = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind
    details["causes"] = [{"reason": _REASONS[e.type], "message": e.body(), "field": e.path} for e in errors]
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": f'{kind} "{name}" is invalid: {joined}', "reason": "Invalid", "details": details, "code": 422,
    }  # fmt: skip
