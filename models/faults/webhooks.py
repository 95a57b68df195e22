"""Admission webhooks that do not answer: they time out, or nothing listens there.

staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook: a call that fails counts by the webhook's failurePolicy; Fail refuses the
request with 500, Ignore lets it pass. One that hangs holds each request up for timeoutSeconds first. ``target`` is the service behind
it (``namespace/name``) or its URL; ``*`` all of them.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.cluster import Cluster
from kchaos.models.security.webhooks import Service
from kchaos.nemesis.fault import Evidence, Kind


class _Failing:
    """Calls of some webhooks fail until healing; ``hangs``: by time-out, else at once."""

    def __init__(self, cluster: Cluster, target: str, hangs: bool) -> None:
        self._cluster = cluster
        self._hangs = hangs
        webhooks = cluster.control.security.webhooks
        places = [place for place in webhooks.places() if target in ("*", place)]
        self._services = [webhooks.services.setdefault(place, Service()) for place in places]
        self._before = self._asked()
        self._failed: int | None = None
        self._count(1)

    def _count(self, by: int) -> None:
        for service in self._services:
            if self._hangs:
                service.hung += by
            else:
                service.refusing += by

    def _asked(self) -> int:
        return sum(service.asked for service in self._services)

    def undo(self) -> None:
        """Let them answer again."""
        self._count(-1)
        self._failed = self._asked() - self._before

    def evidence(self) -> Evidence:
        """Return how many calls failed."""
        return {"calls_failed": self._asked() - self._before if self._failed is None else self._failed}


def _kind(name: str, summary: str, hangs: bool) -> Kind[Cluster]:
    def inject(cluster: Cluster, args: dict[str, Any]) -> _Failing:
        return _Failing(cluster, args["target"], hangs)

    return Kind(name=name, summary=summary, klass="api", target="webhook", evidence="calls failed", inject=inject, level1=False)


KINDS = (
    _kind("webhook-timeout", "an admission webhook does not answer in time: its failurePolicy decides", True),
    _kind("webhook-refused", "nothing listens where an admission webhook should: its failurePolicy decides", False),
)
