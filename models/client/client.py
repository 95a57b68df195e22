"""Requests to the API servers from one process: fail-over, time-outs, rate limits; and watches over the same connection.

Writes are never retried by the client, as in client-go: a lost answer leaves the outcome unknown and the caller's reconcile decides.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import USER, Identity, Request
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.watchcache import Change
from kchaos.runtime import Disconnected, Gate, Refused, Runtime

TIMEOUT_S = 10.0
"""How long a request waits for its answer."""

Answer = Callable[[Obj | None, ApiError | None], None]


class WatchStream:
    """One open watch: ``events`` is called with each batch, ``ended`` once with a Status or None (closed, connection lost)."""

    __slots__ = ("ended", "events", "server")

    def __init__(self, events: Callable[[list[Change]], None], ended: Callable[[Obj | None], None], server: str) -> None:
        self.events = events
        self.ended = ended
        self.server = server


class _Waiting:
    __slots__ = ("answer", "deadline", "server")

    def __init__(self, answer: Answer, deadline: float, server: str) -> None:
        self.answer = answer
        self.deadline = deadline
        self.server = server


class Client:
    """One process's connection to the API servers at ``servers`` (addresses; the one at ``first`` is tried first).

    ``qps`` and ``burst`` are client-go's token bucket; None is no limit. The timers are per client, not per request.
    """

    def __init__(
        self,
        rt: Runtime,
        servers: tuple[str, ...],
        first: int = 0,
        qps: float | None = None,
        burst: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._rt = rt
        self._servers = servers
        self._at = first % len(servers)
        self._qps, self._burst = qps, burst
        self._tokens, self._filled = float(burst), rt.now()
        self._timeout_s = timeout_s
        # a restarted process must not take the watches of the one before, which a server may still serve, for its own
        self._ids = itertools.count(int(rt.now() * 1000) * 1000 + 1)
        self._waiting: dict[int, _Waiting] = {}
        self._watches: dict[int, WatchStream] = {}
        self._sweeping = False
        self._queue: deque[tuple[Request, Answer]] = deque()
        rt.listen(self._receive)

    @property
    def server(self) -> str:
        """Return the address of the API server that requests go to now."""
        return self._servers[self._at]

    # -- requests ----------------------------------------------------------------------------------------------------

    async def request(self, request: Request) -> Obj:
        """Send ``request`` and wait for the answer. Raises ApiError; reason Timeout or ConnectionLost: outcome unknown."""
        gate: Gate = self._rt.gate()

        def answer(obj: Obj | None, error: ApiError | None) -> None:
            if error is not None:
                gate.fail(error)
            else:
                gate.open(obj)

        self.call(request, answer)
        result: Obj = await gate.wait()
        return result

    def call(self, request: Request, answer: Answer) -> None:
        """Send ``request``; ``answer(object, error)`` is called later, exactly once unless this process crashes."""
        if self._qps is not None and not self._take():
            self._queue.append((request, answer))
            return
        self._send(request, answer)

    def _take(self) -> bool:
        assert self._qps is not None
        now = self._rt.now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._qps)
        self._filled = now
        if not self._queue and self._tokens >= 1:
            self._tokens -= 1
            return True
        if not self._queue:
            self._rt.call_later((1 - self._tokens) / self._qps, self._drain)
        return False

    def _drain(self) -> None:
        assert self._qps is not None
        now = self._rt.now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._qps)
        self._filled = now
        while self._queue and self._tokens >= 1 - 1e-9:
            self._tokens -= 1
            self._send(*self._queue.popleft())
        if self._queue:
            self._rt.call_later((1 - self._tokens) / self._qps, self._drain)

    def _send(self, request: Request, answer: Answer) -> None:
        rt = self._rt
        key = next(self._ids)
        server = self._servers[self._at]
        self._waiting[key] = _Waiting(answer, rt.now() + self._timeout_s, server)
        if not self._sweeping:
            self._sweeping = True
            rt.call_later(self._timeout_s, self._sweep, background=True)
        rt.send(server, ("req", key, request))

    def _sweep(self) -> None:
        now = self._rt.now()
        overdue = [key for key, waiting in self._waiting.items() if waiting.deadline <= now + 1e-9]
        for key in overdue:
            waiting = self._waiting.pop(key)
            self._next_server(waiting.server)
            waiting.answer(None, ApiError("Timeout", "context deadline exceeded"))
        if self._waiting:
            first = next(iter(self._waiting.values()))
            self._rt.call_later(max(0.0, first.deadline - now), self._sweep, background=True)
        else:
            self._sweeping = False

    def _next_server(self, failed: str) -> None:
        if self._servers[self._at] == failed:
            self._at = (self._at + 1) % len(self._servers)

    def _receive(self, sender: str, payload: Any) -> None:
        if isinstance(payload, Refused):
            self._lost(sender, payload.payload[1])
            return
        if isinstance(payload, Disconnected):
            self._disconnected(payload.host)
            return
        kind, key = payload[0], payload[1]
        if kind == "resp":
            waiting = self._waiting.pop(key, None)
            if waiting is not None:
                status = payload[3]
                waiting.answer(payload[2], ApiError.from_status(status) if status is not None else None)
        elif kind == "events":
            stream = self._watches.get(key)
            if stream is not None:
                stream.events(payload[2])
        elif kind == "end":
            stream = self._watches.pop(key, None)
            if stream is not None:
                stream.ended(payload[2])

    def _lost(self, server: str, key: int) -> None:
        self._next_server(server)
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            waiting.answer(None, ApiError("ConnectionRefused", f"dial tcp {server}: connect: connection refused", code=0))
        stream = self._watches.pop(key, None)
        if stream is not None:
            stream.ended(None)

    def _disconnected(self, host: str) -> None:
        prefix = host + "/"
        for server in self._servers:
            if server.startswith(prefix):
                self._next_server(server)
        for key in [k for k, w in self._waiting.items() if w.server.startswith(prefix)]:
            self._waiting.pop(key).answer(None, ApiError("ConnectionLost", "http2: client connection lost", code=0))
        for key in [k for k, s in self._watches.items() if s.server.startswith(prefix)]:
            self._watches.pop(key).ended(None)

    def as_(self, identity: Identity) -> Session:
        """Return this connection's face for one identity."""
        return Session(self, identity)

    # -- watches -----------------------------------------------------------------------------------------------------

    def watch(
        self,
        resource: str,
        since_rv: int,
        events: Callable[[list[Change]], None],
        ended: Callable[[Obj | None], None],
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        identity: Identity = USER,
    ) -> Callable[[], None]:
        """Open a watch after ``since_rv`` (0: everything, as ADDED, first); return what closes it."""
        key = next(self._ids)
        server = self._servers[self._at]
        self._watches[key] = WatchStream(events, ended, server)
        self._rt.send(server, ("watch", key, resource, namespace, labels, fields, since_rv, True, identity), key)

        def close() -> None:
            if self._watches.pop(key, None) is not None:
                self._rt.send(server, ("unwatch", key), key)

        return close


class PatientClient(Client):
    """A person's or pipeline's client: asks again while no server answers, so that a fault does not swallow the step that shows it."""

    async def request(self, request: Request) -> Obj:
        """Send ``request``, again each second while no answer comes. Raises ApiError for any other refusal, or after two minutes."""
        for _ in range(120):
            try:
                return await super().request(request)
            except ApiError as error:
                if error.code != 0 and error.reason != "Timeout":
                    raise
                last = error
                await self._rt.sleep(1.0)
        raise last


class Session:
    """Typed calls under one identity; each waits for the answer and raises ApiError."""

    __slots__ = ("client", "identity")

    def __init__(self, client: Client, identity: Identity) -> None:
        self.client = client
        self.identity = identity

    async def get(self, resource: str, namespace: str, name: str, *, cached: bool = False) -> Obj:
        """Return one object; ``cached`` reads at resourceVersion 0, which may be stale."""
        options: Obj = {"resource_version": "0"} if cached else {}
        return await self.client.request(Request("get", resource, namespace, name, options=options, identity=self.identity))

    async def list(self, resource: str, namespace: str = "", *, cached: bool = False, labels: str = "", fields: str = "") -> Obj:
        """Return a list object with ``items``."""
        options: Obj = {"label_selector": labels, "field_selector": fields}
        if cached:
            options["resource_version"] = "0"
        return await self.client.request(Request("list", resource, namespace, options=options, identity=self.identity))

    async def create(self, resource: str, namespace: str, obj: Obj) -> Obj:
        """Create ``obj``; return what was stored."""
        return await self.client.request(Request("create", resource, namespace, body=obj, identity=self.identity))

    async def update(self, resource: str, obj: Obj, subresource: str = "") -> Obj:
        """Replace the object of that name; with a resourceVersion in it, only if unchanged since (409)."""
        meta = obj["metadata"]
        return await self.client.request(
            Request("update", resource, meta.get("namespace", ""), meta["name"], subresource, obj, identity=self.identity)
        )

    async def patch(
        self, resource: str, namespace: str, name: str, body: Any, *, patch_type: str = "strategic", subresource: str = ""
    ) -> Obj:
        """Patch; ``patch_type`` merge, strategic or json."""
        options: Obj = {"patch_type": patch_type}
        return await self.client.request(Request("patch", resource, namespace, name, subresource, body, options, self.identity))

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation_policy: str | None = None,
        grace_period_seconds: int | None = None,
    ) -> Obj:
        """Delete; ``uid`` and ``resource_version`` are preconditions."""
        conditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        options: Obj = {"preconditions": conditions, "grace_period_seconds": grace_period_seconds}
        if propagation_policy:
            options["propagation_policy"] = propagation_policy
        return await self.client.request(Request("delete", resource, namespace, name, options=options, identity=self.identity))

    async def evict(self, namespace: str, name: str) -> Obj:
        """Ask to evict a pod; 429 while its budget does not allow it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        return await self.client.request(Request("create", "pods", namespace, name, "eviction", body, identity=self.identity))
