"""Chaos and property testing for Kubernetes manifests, controllers and etcd, in one Python process.

The names below are all that tests need; each is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kchaos.engine.decorators import always, eventually, invariant, never
    from kchaos.engine.machine import ClusterMachine
    from kchaos.engine.saved import Replayed, replay
    from kchaos.testing.cluster import SimulatedCluster
    from kchaos.testing.marks import chaos
    from kchaos.testing.run import ChaosRun

__version__ = "0.1.0"
__all__ = ["ChaosRun", "ClusterMachine", "Replayed", "SimulatedCluster", "always", "chaos", "eventually", "invariant", "never", "replay"]

_HOME = {
    "ChaosRun": "testing.run", "ClusterMachine": "engine.machine", "Replayed": "engine.saved", "SimulatedCluster": "testing.cluster",
    "always": "engine.decorators", "chaos": "testing.marks", "eventually": "engine.decorators", "invariant": "engine.decorators",
    "never": "engine.decorators", "replay": "engine.saved",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kchaos' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"kchaos.{_HOME[name]}"), name)
