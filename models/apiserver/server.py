"""kube-apiserver: one process that takes requests through authentication, authorisation and admission to the store.

Messages (payloads on the network, tuples):

- ``("req", id, Request)`` is answered by ``("resp", id, object, None)`` or ``("resp", id, None, Status)``;
- ``("watch", id, resource, namespace, label selector, field selector, since rv, bookmarks, identity)`` by ``("events", id, [(type, object)…])``
  and at its end by ``("end", id, Status | None)``; ``("unwatch", id)`` closes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import AS_CONNECTED, Identity, Request
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.registry import Registry
from kchaos.models.apiserver.store import Store
from kchaos.models.apiserver.watchcache import Change, WatchCache, Watcher
from kchaos.models.security.authentication import ANONYMOUS
from kchaos.models.security.reviews import KINDS as REVIEWS
from kchaos.models.security.seams import Security, with_identity
from kchaos.runtime import Disconnected, Refused, Runtime

WRITE_S = 0.0023
"""What a write costs its client beyond the network: the store's fsync. Races between controllers hang on the ratio of this and
the next; with these two, rollouts take the course that was recorded from real servers."""
CACHE_LAG_S = 0.003
"""How far a healthy watch cache trails the store."""
LONGEST_WAIT_S = 9.0
"""What webhooks hold a request up at most: clients here give up after ten seconds, the real ones after the server's minute."""
BOOKMARK_S = 60.0
"""Interval of bookmarks (cacher.go: bookmarkFrequency is one minute)."""

WatchFilter = Callable[[Watcher, list[Change]], list[Change]]
"""A fault in the watch path: called with a batch that is due; what it returns is sent."""

Audit = Callable[[Request, str, int], None]
"""Called with a request, the stage that it reached (authentication, authorization, admission, complete) and the code of the answer."""
Interceptor = Callable[[str, Request], ApiError | None]
"""A fault in the request path: called with ``before`` or ``after`` the commit; an error replaces the answer."""


class Hooks:
    """What looks on and what interferes: shared by all API servers of a control plane, so that it also holds for those started later."""

    def __init__(self) -> None:
        self.on_request: list[Callable[[Request], None]] = []
        """Called with each request before it is carried out."""
        self.on_answer: list[Callable[[Request, int], None]] = []
        """Called with each request and the code of its answer."""
        self.on_audit: list[Audit] = []
        """Called after each request of an ordinary user, as the audit log of the real server."""
        self.interceptors: list[Interceptor] = []
        self.watch_filters: list[WatchFilter] = []
        self.alone: dict[str, int] = {}
        """Masters whose store member has no quorum, and how many faults keep it so: requests to their servers hang, watches end."""
        self.unanswered = 0
        """Requests that hang, or hung until their client gave up."""


class ApiServer:
    """One API server over a shared store."""

    def __init__(self, rt: Runtime, store: Store, security: Security, hooks: Hooks) -> None:
        self._rt = rt
        self._store = store
        self._security = security
        self.registry = Registry(store, rt, security)
        self.cache = WatchCache(store)
        self.cache_lag_s = CACHE_LAG_S
        self.frozen = rt.host in hooks.alone
        self._hooks = hooks
        self._due = False
        store.subscribe(self._committed)
        rt.listen(self._receive)
        rt.call_later(BOOKMARK_S, self._bookmarks, background=True)

    # -- requests ----------------------------------------------------------------------------------------------------

    def execute(self, request: Request) -> Obj:
        """Carry out one request; return the object or list. Raises ApiError."""
        stage, security = "authentication", self._security
        if request.credential is not AS_CONNECTED:
            request = with_identity(request, ANONYMOUS)
        try:
            identity: Identity = security.authenticate(request, self._rt.wall())
            request = with_identity(request, identity)
            stage = "authorization"
            if request.impersonate is not None:
                identity = security.acting(identity, request)
                request = with_identity(request, identity)
            security.authorise(identity, request)
            stage = "admission"
            answer = self._admitted(request)
        except ApiError as error:
            if self._hooks.on_audit and security.ordinary(request.identity):
                for hook in self._hooks.on_audit:
                    hook(request, stage, error.code)
            raise
        if self._hooks.on_audit and security.ordinary(identity):
            for hook in self._hooks.on_audit:
                hook(request, "complete", 201 if request.verb == "create" else 200)
        return answer

    def _admitted(self, request: Request) -> Obj:
        if request.resource in REVIEWS:
            return self._security.review(request, self._rt.wall())
        for hook in self._hooks.on_request:
            hook(request)
        for interceptor in self._hooks.interceptors:
            if (error := interceptor("before", request)) is not None:
                raise error
        table = None
        if request.verb in ("get", "list") and request.options.get("resource_version") == "0":
            table = self.cache.table(request.resource)
        answer = self.registry.execute(request, table, self.cache.applied)
        for interceptor in self._hooks.interceptors:
            if (error := interceptor("after", request)) is not None:
                raise error
        return answer

    def _receive(self, sender: str, payload: Any) -> None:
        if isinstance(payload, Disconnected):
            self.cache.close_all(payload.host)
            return
        if isinstance(payload, Refused):  # the client's process is gone
            if payload.payload[0] in ("events", "end"):
                self.cache.close(sender, payload.payload[1])
            return
        kind = payload[0]
        if self._hooks.alone and self._rt.host in self._hooks.alone and kind in ("req", "watch"):
            self._hooks.unanswered += 1
            if kind == "watch":
                self._rt.send(sender, ("end", payload[1], None), payload[1])
        elif kind == "req":
            webhooks = self._security.webhooks
            if webhooks.services and (wait := webhooks.wait_s(payload[2])):
                self._rt.call_later(min(wait, LONGEST_WAIT_S), self._answer, sender, payload)
            else:
                self._answer(sender, payload)
        elif kind == "watch":
            self._open(sender, payload)
        elif kind == "unwatch":
            self.cache.close(sender, payload[1])

    def _answer(self, sender: str, payload: tuple[Any, ...]) -> None:
        try:
            answer: tuple[Any, ...] = ("resp", payload[1], self.execute(payload[2]), None)
            code = 200
        except ApiError as error:
            code = error.code
            answer = ("resp", payload[1], None, error.status())
        for hook in self._hooks.on_answer:
            hook(payload[2], code)
        if not code:  # a fault: the answer never leaves the server
            return
        if payload[2].verb in ("get", "list"):
            self._rt.send(sender, answer)
        else:
            self._rt.call_later(WRITE_S, self._rt.send, sender, answer)

    # -- watches -----------------------------------------------------------------------------------------------------

    def _open(self, sender: str, payload: tuple[Any, ...]) -> None:
        _, key, resource, namespace, labels, fields, since, bookmarks, identity = payload
        request = Request("watch", resource, namespace, options={"field_selector": fields}, identity=identity)
        try:
            self._security.authorise(identity, request)
        except ApiError as refused:
            self._rt.send(sender, ("end", key, refused.status()), key)
            return
        watcher = Watcher(sender, key, resource, namespace, labels, fields, bookmarks)
        try:
            first = self.cache.open(watcher, since)
        except LookupError:
            error = ApiError("Expired", f"too old resource version: {since} ({self._store.log_start - 1})")
            self._rt.send(sender, ("end", key, error.status()), key)
            return
        if first:
            self._rt.send(sender, ("events", key, first), key)

    def close_watches(self, resource: str = "", status: Obj | None = None) -> int:
        """End watches from this side, as a server does at its time-out (or at random after 30 to 60 minutes); return how many."""
        closed = 0
        for watcher in self.cache.watchers():
            if not resource or watcher.resource == resource:
                self.cache.close(watcher.address, watcher.key)
                self._rt.send(watcher.address, ("end", watcher.key, status), watcher.key)
                closed += 1
        return closed

    def _committed(self, _event: object) -> None:
        if not self._due and not self.frozen:
            self._due = True
            self._rt.call_later(self.cache_lag_s, self._pump, background=True)

    def _pump(self) -> None:
        self._due = False
        if self.frozen:
            return
        for watcher in self.cache.apply():
            batch: list[Change] = watcher.pending
            watcher.pending = []
            for filter_ in self._hooks.watch_filters:
                batch = filter_(watcher, batch)
            if batch:
                self.send_changes(watcher, batch)

    def send_changes(self, watcher: Watcher, batch: list[Change]) -> None:
        """Send changes on one watch."""
        self._rt.send(watcher.address, ("events", watcher.key, batch), watcher.key)

    def freeze(self, frozen: bool) -> None:
        """Stop or resume following the store: reads at version 0 and watches go stale."""
        self.frozen = frozen or self._rt.host in self._hooks.alone
        if not self.frozen and not self._due:
            self._committed(None)

    def _bookmarks(self) -> None:
        for watcher in self.cache.watchers():
            if watcher.bookmarks:
                mark = {"metadata": {"resourceVersion": str(max(self.cache.applied, watcher.sent_rv))}}
                self._rt.send(watcher.address, ("events", watcher.key, [("BOOKMARK", mark)]), watcher.key)
        self._rt.call_later(BOOKMARK_S, self._bookmarks, background=True)
