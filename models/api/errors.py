"""What the API server answers when it refuses: metav1.Status as an exception.

Reasons and codes: k8s.io/apimachinery/pkg/api/errors/errors.go.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.tree import Obj

CODES = {
    "BadRequest": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404, "MethodNotAllowed": 405, "AlreadyExists": 409,
    "Conflict": 409, "Expired": 410, "Gone": 410, "Invalid": 422, "TooManyRequests": 429, "InternalError": 500,
    "ServiceUnavailable": 503, "Timeout": 504, "ServerTimeout": 500,
}  # fmt: skip


class ApiError(Exception):
    """A refused request, or one whose outcome is unknown (``Timeout``, ``ConnectionLost``: it may have been carried out)."""

    def __init__(self, reason: str, message: str, details: Obj | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = details
        self.code = CODES.get(reason, 500) if code is None else code

    def status(self) -> Obj:
        """Return the wire form, a metav1.Status."""
        out: dict[str, Any] = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        }  # fmt: skip
        if self.details:
            out["details"] = self.details
        out["code"] = self.code
        return out

    @classmethod
    def from_status(cls, status: Obj) -> ApiError:
        """Return the exception for a metav1.Status."""
        return cls(status.get("reason", "Unknown"), status.get("message", ""), status.get("details"), status.get("code"))


def _details(group: str, plural: str, name: str) -> Obj:
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def qualified(group: str, plural: str) -> str:
    """Return ``deployments.apps``, or ``pods`` for the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    """Return 404."""
    return ApiError("NotFound", f'{qualified(group, plural)} "{name}" not found', _details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """Return 409 AlreadyExists."""
    message = f'{qualified(group, plural)} "{name}" already exists'
    return ApiError("AlreadyExists", message, _details(group, plural, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(group: str, plural: str, name: str, why: str = STALE) -> ApiError:
    """Return 409 Conflict."""
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return ApiError("Conflict", message, _details(group, plural, name))


def forbidden(group: str, plural: str, name: str, why: str, causes: list[Obj] | None = None) -> ApiError:
    """Return 403."""
    details = _details(group, plural, name)
    if causes:
        details["causes"] = causes
    return ApiError("Forbidden", f'{qualified(group, plural)} "{name}" is forbidden: {why}', details)


def too_many_requests(message: str, causes: list[Obj] | None = None, retry_after_s: int = 0) -> ApiError:
    """Return 429, as an eviction that a disruption budget refuses."""
    details: Obj = {}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    if causes:
        details["causes"] = causes
    return ApiError("TooManyRequests", message, details or None)
