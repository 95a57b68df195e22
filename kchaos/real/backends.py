"""Which backend a cluster runs on; each is imported only when it is asked for."""

from __future__ import annotations

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real.cluster import Cluster
from kchaos.real.leases import Later

BACKENDS = ("process", "containers")


def cluster_of(backend: str, size: int, *, binary: str | None = None, image: str | None = None) -> Cluster:
    """Return a cluster that is not started yet. ``binary``: path or name of an etcd, for processes; ``image``: for containers.

    Raises InvalidScenario for what a backend would not heed.
    """
    if backend == "process":
        if image is not None:
            raise InvalidScenario("--image is for containers", hint="add --backend containers, or name an etcd by --binary PATH")
        from kchaos.real.processes import ProcessCluster

        return ProcessCluster(size, binary or "etcd", hook=_remove_labelled)
    if backend == "containers":
        if binary is not None:
            raise InvalidScenario("--binary is for processes", hint="name an image by --image NAME, or leave out --backend containers")
        from kchaos.real import images
        from kchaos.real.containers import ContainerCluster

        return ContainerCluster(size, image or images.ETCD)
    raise InvalidScenario(f"there is no backend {backend!r}", hint=f"write {' or '.join(BACKENDS)}")


def _remove_labelled(label: str) -> None:
    """Remove what a dead run in containers has left, before processes are started; without Docker that waits for a run in containers."""
    from kchaos.real.daemon import Daemon

    try:
        daemon = Daemon()
    except HarnessError as error:
        raise Later(str(error)) from error
    try:
        daemon.remove(label)
    except HarnessError as error:  # a daemon that hangs is no reason not to start processes
        raise Later(str(error)) from error
    finally:
        daemon.close()
