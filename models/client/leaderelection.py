"""Leader election on a Lease, as controller manager and scheduler do it.

client-go/tools/leaderelection: lease 15 s, renew deadline 10 s, retry 2 s, no fencing: an old leader may still write until it notices.
A candidate compares what it last *observed to change* on its own clock, never the timestamps in the Lease.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.times import micro
from kchaos.models.api.tree import Obj
from kchaos.models.client.client import Client
from kchaos.runtime import Runtime

LEASE_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_S = 2.0


class LeaderElector:
    """Calls ``started`` when this candidate becomes leader and ``stopped`` when it can't renew in time."""

    def __init__(
        self, rt: Runtime, client: Client, identity: Identity, name: str, started: Callable[[], None], stopped: Callable[[], None]
    ) -> None:
        self._rt = rt
        self._client = client
        self._identity = identity
        self._name = name
        self._id = rt.host
        self._started, self._stopped = started, stopped
        self._seen: Obj | None = None
        self._seen_rv = ""
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self.leading = False

    def start(self) -> None:
        """Begin to compete."""
        self._try()

    def _try(self) -> None:
        request = Request("get", "leases", "kube-system", self._name, identity=self._identity)
        if self.leading and self._seen is not None:
            self._renew(self._seen)  # fast path: update what we hold, without a read
        else:
            self._client.call(request, self._got)

    def _spec(self, old: Obj | None) -> Obj:
        now = micro(self._rt.wall())
        transitions = (old or {}).get("leaseTransitions", 0)
        if old is None or old.get("holderIdentity") != self._id:
            return {
                "holderIdentity": self._id, "leaseDurationSeconds": int(LEASE_S), "acquireTime": now, "renewTime": now,
                "leaseTransitions": transitions + (1 if old is not None else 0),
            }  # fmt: skip
        return {**old, "renewTime": now}

    def _got(self, lease: Obj | None, error: ApiError | None) -> None:
        if error is not None and error.reason == "NotFound":
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}, "spec": self._spec(None)}
            self._client.call(Request("create", "leases", "kube-system", body=body, identity=self._identity), self._won)
            return
        if lease is None:
            self._failed()
            return
        if lease["metadata"]["resourceVersion"] != self._seen_rv:
            self._observe(lease)
        holder = lease["spec"].get("holderIdentity")
        if holder and holder != self._id and self._seen_at + LEASE_S > self._rt.now():
            self._failed()
            return
        self._renew(lease)

    def _observe(self, lease: Obj) -> None:
        self._seen, self._seen_rv, self._seen_at = lease, lease["metadata"]["resourceVersion"], self._rt.now()

    def _renew(self, lease: Obj) -> None:
        body = {**lease, "spec": self._spec(lease["spec"])}
        self._client.call(Request("update", "leases", "kube-system", self._name, body=body, identity=self._identity), self._won)

    def _won(self, lease: Obj | None, error: ApiError | None) -> None:
        if lease is None:
            self._failed()
            return
        self._observe(lease)
        self._renewed_at = self._rt.now()
        if not self.leading:
            self.leading = True
            self._started()
        self._rt.call_later(RETRY_S, self._try, background=True)

    def _failed(self) -> None:
        if self.leading:
            self._seen = None
            if self._rt.now() - self._renewed_at >= RENEW_DEADLINE_S:
                self.leading = False
                self._stopped()
                return
            self._rt.call_later(RETRY_S, self._retry_as_leader, background=True)
            return
        jitter = 1 + 1.2 * self._rt.random("leader-election").random()
        self._rt.call_later(RETRY_S * jitter, self._try, background=True)

    def _retry_as_leader(self) -> None:
        self._client.call(Request("get", "leases", "kube-system", self._name, identity=self._identity), self._got)
