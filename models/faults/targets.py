"""What ``Deployment/shop/web`` names: a workload and all its pods; ``Pod/shop/web-0`` is that pod alone, whoever owns it."""

from __future__ import annotations

from collections.abc import Callable

from kchaos.errors import InvalidScenario
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, namespace
from kchaos.models.api.resources import by_kind
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj
from kchaos.models.cluster import Cluster
from kchaos.models.members import workload_of

RESTARTED = "kubectl.kubernetes.io/restartedAt"


def parts(target: str) -> tuple[str, str, str]:
    """Return (kind, namespace, name). Raises InvalidScenario for text of another form."""
    found = target.split("/")
    if len(found) != 3 or by_kind(None, found[0]) is None:
        raise InvalidScenario(f"not a workload: {target!r}", hint="write Kind/namespace/name, such as Deployment/default/web")
    return found[0], found[1], found[2]


def plural_of(target: str) -> str:
    """Return the resource of a target's kind."""
    resource = by_kind(None, parts(target)[0])
    assert resource is not None
    return resource.plural


def owner_of(cluster: Cluster, pod: Obj) -> str:
    """Return the workload a pod belongs to, as a target."""
    return workload_of(cluster.control.store, pod)


def selects(cluster: Cluster, target: str) -> Callable[[Obj], bool]:
    """Return whether a pod belongs to a workload, or is the pod that the target names."""
    if target.startswith("Pod/"):
        return lambda pod: target == f"Pod/{namespace(pod)}/{name(pod)}"
    return lambda pod: owner_of(cluster, pod) == target


def pods_of(cluster: Cluster, target: str) -> list[Obj]:
    """Return the workload's pods, by name."""
    space = parts(target)[1] + "/"
    mine = selects(cluster, target)
    return [pod for key, pod in sorted(cluster.control.store.table("pods").items()) if key.startswith(space) and mine(pod)]


def restart(cluster: Cluster, target: str, why: str) -> None:
    """Begin a rolling restart, as `kubectl rollout restart` does; a bare pod or Job's pod is left alone."""
    kind, space, owner = parts(target)
    if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        return
    rt = cluster.user.client._rt
    note = {"metadata": {"annotations": {RESTARTED: stamp(rt.wall())}}}

    async def patch() -> None:
        try:
            await cluster.user.patch(plural_of(target), space, owner, {"spec": {"template": note}}, patch_type="merge")
        except ApiError as error:
            cluster.recorder.mark("operation", what=why, target=target, state="refused", why=error.message)

    rt.spawn(patch(), f"{why} {target}")
