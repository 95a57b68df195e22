"""Triggered faults: what happens in an undisturbed run is a vocabulary of events, and a fault can fire at each of them.

A fault at a drawn time seldom hits the few milliseconds in which a race is open; one that fires at the n-th event of its sort does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from kchaos.history.record import Run, Write
from kchaos.models.controlplane import MANAGER, SCHEDULER
from kchaos.scenario import Nth, Step

PEOPLE = ("user", "")
"""Who writes from outside the cluster: their own requests are left alone by the faults of requests."""
ONCE = {"every": 1, "n": 1}
"""A fault of requests that hits the next one and no other."""
SHORT_S = 5.0
"""How long watches or a cache are wrong: longer than what follows from one event, shorter than a node's silence is stood."""
OLD_VIEWS = ("events-held", "stale-apiserver")
"""What makes a component's cache old for a while."""
BLOWS = ("request-failed-after-commit", "answer-lost", "request-conflict", "leader-crash", "watch-expired")
"""What makes a component look again, or anew, at such a cache."""
HELD_S = 20.0
"""Longer than it takes to start a component again."""


class Word(NamedTuple):
    """One sort of event: its pattern for :class:`Nth`, and how often it came in the undisturbed run."""

    event: dict[str, str]
    times: int

    @property
    def actor(self) -> str:
        """Return who does it."""
        return self.event["actor"]

    @property
    def resource(self) -> str:
        """Return the kind that it is about, as a plural."""
        return self.event["resource"]

    def nth(self, n: int) -> Nth:
        """Return the trigger of the ``n``-th of them."""
        return Nth(self.event, n)


def commits(run: Run) -> Iterator[Write]:
    """Yield what was written while faults can fire: from the begin of chaos to healing."""
    chaos = False
    for entry in run.entries:
        if not isinstance(entry, Write):
            chaos = entry.data["name"] == "chaos" if entry.what == "phase" else chaos
        elif chaos:
            yield entry


def commit(write: Write) -> dict[str, str]:
    """Return the pattern of a write's sort."""
    return {"on": "commit", "type": write.type, "resource": write.resource, "actor": write.actor}


def vocabulary(run: Run) -> list[Word]:
    """Return the sorts of events of a run, in the order in which each came first.

    Commits by type, kind and actor; and the requests that create objects, which fire before anything is stored.
    """
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for write in commits(run):
        events = [commit(write)]
        if write.type == "ADDED":
            create = {"on": "request", "verb": "create", "resource": write.resource, "subresource": "", "actor": write.actor}
            events.insert(0, create)
        for event in events:
            key = tuple(event.items())
            counts[key] = counts.get(key, 0) + 1
    return [Word(dict(key), count) for key, count in counts.items()]


def faults_at(word: Word) -> list[tuple[str, dict[str, Any], float | None]]:
    """Return the faults that can matter at an event: name, arguments, for how long (None: to the end)."""
    out: list[tuple[str, dict[str, Any], float | None]] = []
    if word.actor not in PEOPLE:
        names = ["request-refused", "request-conflict"]
        if word.event["on"] == "commit":
            names += ["answer-lost", "request-failed-after-commit"]
        out += [(name, {"target": word.actor, **ONCE}, None) for name in names]
    if word.event["on"] == "request":
        return out
    process = SCHEDULER if word.actor == SCHEDULER else MANAGER
    out.append(("leader-crash", {"target": process}, None))
    out += [(name, {"target": "cluster"}, None) for name in ("watch-closed", "watch-expired")]
    out += [(name, {"target": word.resource}, SHORT_S) for name in ("events-held", "events-missed", "events-reordered")]
    out.append(("stale-apiserver", {"target": "master-0"}, SHORT_S))
    out.append(("two-leaders", {"target": process}, HELD_S))
    return out


def triggered(words: Sequence[Word], faults: Sequence[str] | None = None) -> Iterator[Step]:
    """Yield each fault (``faults``: only of these names) at each event of a vocabulary: the trigger sweep of one operation.

    First every fault at the first event of each sort, then at the second: a race that is open more than once is found early.
    """
    for n, word in _events(words):
        for name, args, for_s in faults_at(word):
            if faults is None or name in faults:
                yield Step(do=name, args=args, when=word.nth(n), for_s=for_s)


def together(words: Sequence[Word]) -> Iterator[tuple[Step, Step]]:
    """Yield two faults at one event: an old view, and what makes a component act on it. Most races of caches are open only then."""
    for n, word in _events(words):
        found = {name: (args, for_s) for name, args, for_s in faults_at(word)}
        for view in OLD_VIEWS:
            for blow in BLOWS:
                if view in found and blow in found:
                    first, second = (Step(do=name, args=found[name][0], when=word.nth(n), for_s=found[name][1]) for name in (view, blow))
                    yield first, second


def _events(words: Sequence[Word]) -> Iterator[tuple[int, Word]]:
    for n in range(1, max((word.times for word in words), default=0) + 1):
        for word in words:
            if n <= word.times:
                yield n, word


def scenarios(alone: Sequence[tuple[tuple[Step, ...], Sequence[Word]]], faults: Sequence[str] | None = None) -> list[tuple[Step, ...]]:
    """Return the trigger sweep of several operations, given each with its vocabulary: one fault at each event, then two; in turn."""

    def of(operation: tuple[Step, ...], words: Sequence[Word]) -> Iterator[tuple[Step, ...]]:
        for step in triggered(words, faults):
            yield (*operation, step)
        for both in together(words):
            if faults is None or all(step.do in faults for step in both):
                yield (*operation, *both)

    rows = zip_longest(*(of(operation, words) for operation, words in alone))
    return [steps for row in rows for steps in row if steps is not None]
