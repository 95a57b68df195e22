"""Chaos and property testing for Kubernetes manifests, controllers and etcd, in one Python process.

The names below are all that tests need; each is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kchaos.engine.decorators import always, eventually, invariant, never
    from kchaos.engine.machine import ClusterMachine
    from kchaos.engine.saved import Replayed, replay

__version__ = "0.1.0"
__all__ = ["ClusterMachine", "Replayed", "always", "eventually", "invariant", "never", "replay"]

_HOME = {
    "ClusterMachine": "machine", "Replayed": "saved", "always": "decorators", "eventually": "decorators", "invariant": "decorators",
    "never": "decorators", "replay": "saved",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kchaos' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"kchaos.engine.{_HOME[name]}"), name)
