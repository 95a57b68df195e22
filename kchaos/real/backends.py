"""Which backend a cluster runs on; each is imported only when it is asked for."""

from __future__ import annotations

from kchaos.errors import InvalidScenario
from kchaos.real.cluster import Cluster

BACKENDS = ("process", "containers")


def cluster_of(backend: str, size: int, *, binary: str | None = None, image: str | None = None) -> Cluster:
    """Return a cluster that is not started yet. ``binary``: path or name of an etcd, for processes; ``image``: for containers.

    Raises InvalidScenario for what a backend would not heed.
    """
    if backend == "process":
        if image is not None:
            raise InvalidScenario("--image is for containers", hint="add --backend containers, or name an etcd by --binary PATH")
        from kchaos.real.processes import ProcessCluster

        return ProcessCluster(size, binary or "etcd")
    if backend == "containers":
        if binary is not None:
            raise InvalidScenario("--binary is for processes", hint="name an image by --image NAME, or leave out --backend containers")
        from kchaos.real import images
        from kchaos.real.containers import ContainerCluster

        return ContainerCluster(size, image or images.ETCD)
    raise InvalidScenario(f"there is no backend {backend!r}", hint=f"write {' or '.join(BACKENDS)}")
