"""Headless Services as their clients see them: by the addresses that a look-up gave, for as long as the answer is kept.

Who asks by name alone has no kube-proxy between: a record is stale until its time to live is over, and a name that was looked up while no pod
was ready does not exist for as long (RFC 2308). Clients ask all the time, so a kept answer is looked up again the moment that it ends; it
is one answer for all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil

from kchaos.models.api.pods import labels
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Event, Store
from kchaos.models.network.dns import Answer, Server, ask
from kchaos.models.network.proxy import Backend, Entry
from kchaos.models.network.records import zone_of
from kchaos.models.network.resolver import lifetime_s, resolve, search_of
from kchaos.models.network.services import SERVICE, Categories, ServicePort, headless_port

NO_RECORD, STALE = "no record", "stale record"
NOBODY = Categories((), (), (), False)


class Names:
    """The kept answers, by headless Service (namespace/name)."""

    def __init__(
        self, store: Store, now: Callable[[], float], later: Callable[[float, Callable[[], None]], None], changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._now = now
        self._later = later
        self._changed = changed
        self._ports: dict[str, ServicePort] = {}
        self._keep_s: dict[str, float] = {}
        self._answered: dict[str, tuple[float, float]] = {}
        """When the kept answer was given, and for how long it is kept."""
        self._due: dict[str, None] = {}
        self.entries: dict[str, Entry] = {}

    def watch(self, service: str, keep_s: float) -> None:
        """Look a headless Service up from now on; an answer is kept for ``keep_s``. Without ports there is nothing to ask."""
        port = headless_port(self._store.get("services", service) or {})
        if port is None:
            return
        if not self._keep_s:
            self._store.subscribe(self._committed)
        self._ports[service] = port
        self._keep_s[service] = keep_s
        self._look(service)

    def stale(self, backend: Backend) -> bool:
        """Tell whether nobody has an address any more that clients still ask."""
        pod = self._store.get("pods", backend.pod) if backend.pod else None
        return bool(backend.pod) and (pod is None or (pod.get("status") or {}).get("podIP") != backend.address)

    def _committed(self, event: Event) -> None:
        if event.resource != "endpointslices":
            return
        service = f"{event.obj['metadata']['namespace']}/{labels(event.obj).get(SERVICE, '')}"
        if service not in self._keep_s or service in self._due:
            return
        self._due[service] = None
        at_s, keep_s = self._answered[service]
        age_s = self._now() - at_s  # unchanged answers were renewed each time they ended
        self._later(ceil(age_s / keep_s) * keep_s - age_s if keep_s else 0.0, lambda: self._look(service))

    def _slices(self, service: str) -> list[Obj]:
        space, _, name = service.partition("/")
        found = self._store.table("endpointslices").values()
        return [one for one in found if one["metadata"]["namespace"] == space and labels(one).get(SERVICE) == name]

    def _look(self, service: str) -> None:
        """Look up a name as a pod of its namespace does; the answer says how long it is kept."""
        self._due.pop(service, None)
        found = self._store.get("services", service)
        space, _, name = service.partition("/")
        slices = self._slices(service)
        zone = zone_of([*([found] if found is not None else []), *slices], [space])
        server = Server(ttl=ceil(self._keep_s[service]))

        def question(name: str, kind: str) -> Answer:
            return ask(server, zone, name, kind, lambda name, kind: Answer("NXDOMAIN"))  # nobody outside has such a name

        answer = resolve(name, "A", search_of(space), question).answer
        self._answered[service] = (self._now(), lifetime_s(answer))
        port = self._ports[service]
        behind = {backend.address: backend for one in slices for backend in _backends(one, port)}
        asked = [behind[record.data] for record in answer.answer if record.data in behind]
        spread = tuple((1.0 / len(asked), backend) for backend in asked)
        self.entries[service] = Entry(((port._replace(protocol="tcp"), NOBODY),), spread, "" if spread else NO_RECORD)
        self._changed()


def _backends(one: Obj, port: ServicePort) -> Iterator[Backend]:
    """Yield the pods behind a slice, which for a headless Service kube-proxy does not read."""
    space = one["metadata"]["namespace"]
    numbers = tuple((port.protocol, int(found["port"])) for found in one.get("ports") or () if found.get("port"))
    for endpoint in one.get("endpoints") or ():
        target = endpoint.get("targetRef") or {}
        pod = f"{space}/{target['name']}" if target.get("kind") == "Pod" else ""
        for address in endpoint["addresses"]:
            yield Backend(pod, endpoint.get("nodeName") or "", address, numbers)
