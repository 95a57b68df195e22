"""Validation as the API server does it: field errors with paths, in the real server's words."""

from kchaos.models.api.validation.field import FieldError, status_error
from kchaos.models.api.validation.objects import validate_create, validate_update

__all__ = ["FieldError", "status_error", "validate_create", "validate_update"]
