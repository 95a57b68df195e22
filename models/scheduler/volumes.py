"""What binding a pod asks of its claims: one update each (VolumeBinding's PreBind)."""

from __future__ import annotations

from typing import NamedTuple

from kchaos.models.api.tree import Obj


class VolumeAction(NamedTuple):
    """Write ``body`` to ``resource``; then ``claim`` (namespace/name) must become Bound."""

    claim: str
    resource: str
    body: Obj
