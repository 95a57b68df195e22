"""EndpointSlice: which pods a Service's requests may go to, and in what condition each is.

pkg/controller/endpointslice and k8s.io/endpointslice/reconciler.go: at most 100 endpoints a slice; existing slices are changed as little as
possible. ready is false while terminating, serving is not (KEP-1672); publishNotReadyAddresses makes ready always true.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, labels, name, namespace, owner_reference, ready, terminating
from kchaos.models.api.selectors import from_map
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller

SERVICE = "kubernetes.io/service-name"
MANAGER = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
STALE_S = 1.0
"""How long a sync is put off while the cache lacks our own last writes; ten times that long at most."""


def endpoint_of(pod: Obj, service: Obj, zone: str | None) -> Obj:
    """Return the endpoint of one pod."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    serving = ready(pod)
    out: Obj = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": publish or (serving and not terminating(pod)), "serving": serving, "terminating": terminating(pod)},
        "targetRef": {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": pod["metadata"]["uid"]},
        "nodeName": pod["spec"]["nodeName"],
    }  # fmt: skip
    if zone:
        out["zone"] = zone
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name(service):
        out["hostname"] = pod["spec"]["hostname"]
    return out


def ports_of(pod: Obj, service: Obj) -> list[Obj]:
    """Return the ports that a pod offers of a Service; a named target port is looked up in its containers."""
    out: list[Obj] = []
    for port in service["spec"].get("ports") or ():
        target: Any = port.get("targetPort", port["port"])
        protocol = port.get("protocol", "TCP")
        number = target if isinstance(target, int) else _named(pod, target, protocol)
        if number is None:
            continue
        one: Obj = {"name": port.get("name", ""), "port": number, "protocol": protocol}
        if port.get("appProtocol"):
            one["appProtocol"] = port["appProtocol"]
        out.append(one)
    return out


def _named(pod: Obj, wanted: str, protocol: str) -> int | None:
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == wanted and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def pack(wanted: dict[str, Obj], slices: list[Obj], limit: int) -> tuple[list[tuple[Obj, list[Obj]]], list[list[Obj]], list[Obj]]:
    """Return (existing slices with their new endpoints, contents of new slices, slices to delete).

    Endpoints stay where they are; new ones fill slices that change anyway, then new slices, or the fullest one that has room.
    """
    left = dict(wanted)
    kept: list[tuple[Obj, list[Obj], bool]] = []
    for one in slices:
        mine: list[Obj] = []
        changed = False
        for endpoint in one.get("endpoints") or ():
            key = get(endpoint, "targetRef", "uid", default="")
            new = left.pop(key, None)
            if new is None:
                changed = True
            else:
                mine.append(new)
                changed = changed or new != endpoint
        kept.append((one, mine, changed))
    delete = [one for one, mine, _ in kept if not mine and (left == {} or len([k for k in kept if k[1]]) > 0)]
    kept = [k for k in kept if k[0] not in delete]
    rest = list(left.values())
    for _, mine, changed in kept:
        if changed and rest:
            room = limit - len(mine)
            mine.extend(rest[:room])
            rest = rest[room:]
    if rest and len(rest) < limit:
        roomy = [k for k in kept if not k[2] and len(k[1]) + len(rest) <= limit]
        if roomy:
            best = max(roomy, key=lambda k: len(k[1]))
            best[1].extend(rest)
            rest = []
    updates = [(one, mine) for one, mine, _ in kept if mine != (one.get("endpoints") or [])]
    creates = [rest[i : i + limit] for i in range(0, len(rest), limit)]
    return updates, creates, delete


class EndpointSliceController(Controller):
    """The shell."""

    name = "endpointslice-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._services = ctx.in_namespace("services")
        self._pods = ctx.in_namespace("pods")
        self._nodes = ctx.informer("nodes")
        self._slices = ctx.informer("endpointslices")
        self._slices.add_index("service", lambda one: (f"{namespace(one)}/{labels(one).get(SERVICE, '')}",))
        self._awaited: dict[str, dict[str, tuple[int, float]]] = {}
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch Services, pods and our own slices."""
        self._services.add_handler(lambda old, new: self._queue.add(key_of(new if new is not None else old or {})))
        self._pods.add_handler(self._pod_changed)
        self._slices.add_handler(self._slice_changed)
        self._queue.start()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        one = new if new is not None else old
        key = f"{namespace(one)}/{labels(one).get(SERVICE, '')}" if one is not None else ""
        if one is not None and key in self._awaited and self._seen_own_writes(key):
            self._queue.add(key)
        if new is None and old is not None and labels(old).get(MANAGER) == self.MANAGED_BY:
            self._queue.add(f"{namespace(old)}/{labels(old).get(SERVICE, '')}")

    MANAGED_BY = "endpointslice-controller.k8s.io"

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        if old is not None and new is not None and self._facts(old) == self._facts(new):
            return
        for service in self._services.by("namespace", namespace(pod)):
            fits = from_map(service["spec"].get("selector") or {})
            if any(fits(labels(one)) for one in (old, new) if one is not None):
                self._queue.add(key_of(service))

    @staticmethod
    def _facts(pod: Obj) -> tuple[object, ...]:
        return (
            labels(pod), ready(pod), terminating(pod), ended(pod), get(pod, "status", "podIP"), pod["spec"].get("nodeName"),
        )  # fmt: skip

    def _seen_own_writes(self, key: str) -> bool:
        """Tell whether the cache has caught up with what we wrote (endpointslice tracker, StaleSlices)."""
        awaited = self._awaited.get(key)
        if not awaited:
            return True
        for slice_key, (version, until) in list(awaited.items()):
            seen = self._slices.get(slice_key)
            if int(seen["metadata"]["resourceVersion"]) >= version if seen is not None else self.rt.now() >= until:
                del awaited[slice_key]  # or it came and went unseen
        if not awaited:
            del self._awaited[key]
        return key not in self._awaited

    async def _sync(self, key: str) -> None:
        if not self._seen_own_writes(key):
            if any(self._slices.get(one) is None for one in self._awaited[key]):
                self._queue.add_after(key, STALE_S)
            return  # until the cache catches up, which is an event
        service = self._services.get(key)
        if service is None or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        if terminating(service):
            return
        groups = self._wanted(service)
        existing = [one for one in self._slices.by("service", key) if labels(one).get(MANAGER) == self.MANAGED_BY and not terminating(one)]
        taken: list[Obj] = []
        for ports, wanted in groups:
            mine = [one for one in existing if (one.get("ports") or []) == ports and one not in taken]
            if not mine and len(groups) == 1:
                mine = existing
            taken += mine
            await self._bring(service, ports, wanted, mine)
        for one in existing:
            if one not in taken:
                await self._delete(one)

    def _wanted(self, service: Obj) -> list[tuple[list[Obj], dict[str, Obj]]]:
        fits = from_map(service["spec"]["selector"])
        groups: list[tuple[list[Obj], dict[str, Obj]]] = []
        for pod in self._pods.by("namespace", namespace(service)):
            if not fits(labels(pod)) or ended(pod) or not get(pod, "status", "podIP") or not pod["spec"].get("nodeName"):
                continue
            node = self._nodes.get(pod["spec"]["nodeName"])
            zone = labels(node).get("topology.kubernetes.io/zone") if node is not None else None
            ports = ports_of(pod, service)
            for have, table in groups:
                if have == ports:
                    table[pod["metadata"]["uid"]] = endpoint_of(pod, service, zone)
                    break
            else:
                groups.append((ports, {pod["metadata"]["uid"]: endpoint_of(pod, service, zone)}))
        if not groups:
            first: Obj = {"spec": {"containers": []}}
            groups.append((ports_of(first, service), {}))
        return groups

    async def _bring(self, service: Obj, ports: list[Obj], wanted: dict[str, Obj], mine: list[Obj]) -> None:
        updates, creates, deletes = pack(wanted, mine, self.ctx.constants.endpoints_per_slice)
        if not wanted:  # one empty slice stays as a placeholder
            updates = [(one, []) for one in mine[:1] if one.get("endpoints")]
            deletes = mine[1:]
            creates = [] if mine else [[]]
        for one, endpoints in updates:
            meta = {**one["metadata"], "annotations": {**(one["metadata"].get("annotations") or {}), **self._trigger()}}
            await self._tolerant(
                "update", {**one, "metadata": meta, "endpoints": endpoints, "ports": ports if wanted else one.get("ports")}
            )
        for endpoints in creates:
            await self._tolerant("create", self._new(service, ports, endpoints))
        for one in deletes:
            await self._delete(one)

    def _trigger(self) -> dict[str, str]:
        return {"endpoints.kubernetes.io/last-change-trigger-time": stamp(self.rt.wall())}

    def _new(self, service: Obj, ports: list[Obj], endpoints: list[Obj]) -> Obj:
        marks = {**labels(service), MANAGER: self.MANAGED_BY, SERVICE: name(service)}
        if service["spec"].get("clusterIP") == "None":
            marks[HEADLESS] = ""
        return {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
            "metadata": {
                "generateName": f"{name(service)}-", "namespace": namespace(service), "labels": marks, "annotations": self._trigger(),
                "ownerReferences": [owner_reference(service)],
            },
        }  # fmt: skip

    async def _tolerant(self, verb: str, body: Obj) -> None:
        try:
            if verb == "create":
                made = await self.api.create("endpointslices", namespace(body), body)
            else:
                made = await self.api.update("endpointslices", body)
        except ApiError as error:
            if "because it is being terminated" not in error.message and error.reason != "NotFound":
                raise
            return
        awaited = self._awaited.setdefault(f"{namespace(made)}/{labels(made).get(SERVICE, '')}", {})
        awaited[key_of(made)] = (int(made["metadata"]["resourceVersion"]), self.rt.now() + 10 * STALE_S)

    async def _delete(self, one: Obj) -> None:
        try:
            await self.api.delete("endpointslices", namespace(one), name(one))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
