"""Faults of watches: closed, expired, silent, or telling the wrong thing.

Closed and expired watches, and late events, are what every client must stand. Missed, duplicated and reordered events are not what a
correct API server sends (every watcher sees each event once, in revision order): they ask what a controller does when its cache is
wrong; healing ends the watches with 410, so that clients list again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.apiserver.watchcache import Change, Watcher
from kchaos.models.cluster import Cluster
from kchaos.nemesis.fault import Active, Evidence, Kind, Once

EXPIRED = "too old resource version"


def _end(cluster: Cluster, status: ApiError | None) -> Active:
    """End all watches now, on every server."""
    ended = sum(api.close_watches("", status.status() if status else None) for api in cluster.control.apis.values())
    cluster.disturbed()
    return Once({"watches_ended": ended})


class _Filtered(ABC):
    """Batches of one resource's events pass through ``_pass`` on every server until healing."""

    name = "events"

    def __init__(self, cluster: Cluster, resource: str) -> None:
        self._cluster = cluster
        self._resource = resource
        self._count = 0
        cluster.control.hooks.watch_filters.append(self._filter)
        cluster.disturbed()

    def _filter(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        if watcher.resource != self._resource:
            return batch
        return self._pass(watcher, batch)

    @abstractmethod
    def _pass(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        """Return what is sent instead of a batch."""

    def undo(self) -> None:
        self._cluster.control.hooks.watch_filters.remove(self._filter)
        self._heal()
        self._cluster.disturbed()

    def _heal(self) -> None:
        status = ApiError("Expired", EXPIRED).status()
        for api in self._cluster.control.apis.values():
            api.close_watches(self._resource, status)

    def evidence(self) -> Evidence:
        return {self.name: self._count}


class _Held(_Filtered):
    """Events arrive late, all at once, in order."""

    name = "events_held"

    def __init__(self, cluster: Cluster, resource: str) -> None:
        self._held: dict[Watcher, list[Change]] = {}
        super().__init__(cluster, resource)

    def _pass(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        self._held.setdefault(watcher, []).extend(batch)
        self._count += len(batch)
        return []

    def _heal(self) -> None:
        for api in self._cluster.control.apis.values():
            living = set(api.cache.watchers())
            for watcher, batch in self._held.items():
                if watcher in living:
                    api.send_changes(watcher, batch)


class _Missed(_Filtered):
    """Every third event does not arrive."""

    name = "events_missed"

    def __init__(self, cluster: Cluster, resource: str) -> None:
        self._seen = 0
        super().__init__(cluster, resource)

    def _pass(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        out = []
        for change in batch:
            self._seen += 1
            if self._seen % 3:
                out.append(change)
        self._count += len(batch) - len(out)
        return out


class _Duplicated(_Filtered):
    """Every event arrives twice."""

    name = "events_duplicated"

    def _pass(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        self._count += len(batch)
        return [change for change in batch for _ in range(2)]


class _Reordered(_Filtered):
    """Each event waits for the next one, which overtakes it."""

    name = "events_reordered"

    def __init__(self, cluster: Cluster, resource: str) -> None:
        self._last: dict[Watcher, Change] = {}
        super().__init__(cluster, resource)

    def _pass(self, watcher: Watcher, batch: list[Change]) -> list[Change]:
        out: list[Change] = []
        for change in batch:
            waiting = self._last.pop(watcher, None)
            if waiting is None:
                self._last[watcher] = change
            else:
                out += [change, waiting]
                self._count += 1
        return out


def _kind(name: str, summary: str, target: str, evidence: str, inject: Any) -> Kind[Cluster]:
    return Kind(name=name, summary=summary, klass="watch", target=target, evidence=evidence, inject=inject, level1=False)


KINDS = (
    _kind("watch-closed", "all watches end, as after a server's time-out", "cluster", "watches ended", lambda cluster, args: _end(cluster, None)),
    _kind("watch-expired", "all watches end with 410 Gone: clients must list again", "cluster", "watches ended",
          lambda cluster, args: _end(cluster, ApiError("Expired", EXPIRED))),
    _kind("events-held", "a kind's watch events arrive late, all at once", "resource", "events held",
          lambda cluster, args: _Held(cluster, args["target"])),
    _kind("events-missed", "every third watch event of a kind does not arrive", "resource", "events missed",
          lambda cluster, args: _Missed(cluster, args["target"])),
    _kind("events-duplicated", "every watch event of a kind arrives twice", "resource", "events duplicated",
          lambda cluster, args: _Duplicated(cluster, args["target"])),
    _kind("events-reordered", "each watch event of a kind is overtaken by the next", "resource", "events reordered",
          lambda cluster, args: _Reordered(cluster, args["target"])),
)  # fmt: skip
