"""Which Events a process really writes: similar ones are counted up, combined, or dropped. Pure.

k8s.io/client-go/tools/record/events_cache.go (EventCorrelator): an Event of the same text is counted up in the one that there is; from the
tenth text of the same reason within ten minutes all go into one "(combined from similar events)"; of one source about one object there
are at most 25 at once and one more every five minutes. The scheduler records through events.k8s.io, where only what happened counts, not
the text (tools/events/event_recorder.go, event_broadcaster.go: isomorphic events become a series).
"""

from __future__ import annotations

MAX_TEXTS = 10
INTERVAL_S = 600.0
BURST = 25.0
REFILL_S = 300.0
SERIES_S = 360.0
COMBINED = "(combined from similar events): "
NEW_API = ("default-scheduler", "kube-scheduler")
"""Reporters that record through events.k8s.io/v1."""


class Correlator:
    """What a process remembers of the events that it has recorded."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, ...], tuple[dict[str, None], float]] = {}
        self._seen: dict[tuple[str, ...], float] = {}
        self._tokens: dict[tuple[str, str], tuple[float, float]] = {}

    def record(self, source: str, about: str, kind: str, reason: str, message: str, now_s: float) -> str | None:
        """Return the message of the Event to create; None if one is counted up or all is dropped. ``about`` is the object's uid."""
        if source in NEW_API:
            return self._series((source, about, kind, reason), message, now_s)
        group = (source, about, kind, reason)
        texts, last = self._texts.get(group, ({}, now_s))
        if now_s - last > INTERVAL_S:
            texts = {}
        texts[message] = None
        key: tuple[str, ...] = (*group, message)
        if len(texts) >= MAX_TEXTS:
            del texts[next(iter(texts))]
            message = COMBINED + message
            key = group
        self._texts[group] = (texts, now_s)
        known = key in self._seen
        self._seen[key] = now_s
        return message if self._allowed(source, about, now_s) and not known else None

    def _series(self, key: tuple[str, ...], message: str, now_s: float) -> str | None:
        last = self._seen.get(key)
        self._seen[key] = now_s
        return message if last is None or now_s - last > SERIES_S else None

    def _allowed(self, source: str, about: str, now_s: float) -> bool:
        left, at = self._tokens.get((source, about), (BURST, now_s))
        left = min(BURST, left + (now_s - at) / REFILL_S)
        allowed = left >= 1
        self._tokens[source, about] = (left - 1 if allowed else left, now_s)
        return allowed
