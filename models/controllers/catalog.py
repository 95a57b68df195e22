"""All controllers of this version, in the order in which the controller manager starts them."""

from __future__ import annotations

from kchaos.models.controllers.base import Controller

CONTROLLERS: tuple[type[Controller], ...] = ()
