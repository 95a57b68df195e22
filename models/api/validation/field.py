"""Field errors and the 422 Status made of them (k8s.io/apimachinery/pkg/util/validation/field/errors.go)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kchaos.canonical import encode
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj

_REASONS = {
    "Required value": "FieldValueRequired", "Invalid value": "FieldValueInvalid", "Duplicate value": "FieldValueDuplicate",
    "Forbidden": "FieldValueForbidden", "Unsupported value": "FieldValueNotSupported", "Not found": "FieldValueNotFound",
    "Too long": "FieldValueTooLong", "Too many": "FieldValueTooMany",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: ``type`` as the server words it (``Required value``), ``value`` the bad one where it is shown."""

    path: str
    type: str
    detail: str = ""
    value: Any = None

    def body(self) -> str:
        """Return the message without the path."""
        if self.type in ("Required value", "Forbidden", "Too long", "Too many"):
            return f"{self.type}: {self.detail}" if self.detail else self.type
        shown = f'"{self.value}"' if isinstance(self.value, str) else _shown(self.value)
        return f"{self.type}: {shown}" + (f": {self.detail}" if self.detail else "")

    def message(self) -> str:
        """Return ``path: what is wrong``."""
        return f"{self.path}: {self.body()}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return encode(value).decode()


def status_error(resource: Resource, name: str, errors: list[FieldError]) -> Obj:
    """Return the Status (422) for one or more field errors."""
    texts = [error.message() for error in errors]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Obj = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.kind}
    details["causes"] = [{"reason": _REASONS[e.type], "message": e.body(), "field": e.path} for e in errors]
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": f'{kind} "{name}" is invalid: {joined}', "reason": "Invalid", "details": details, "code": 422,
    }  # fmt: skip
