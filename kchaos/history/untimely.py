"""What a watcher is told has been asked for by then, and is there afterwards: an event is of a change that is committed.

Etcd: a watch is told of what has happened, and "any completed operations are durable"
(https://etcd.io/docs/v3.6/learning/api_guarantees/). A member applies, and tells of, only what a quorum holds (Raft, section 5.3), so
that no later linearizable read misses it. The members' histories are read as far as such a read says, all of which are called in the
phase ``final``; what was told before that phase began is not behind their end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kchaos.history.anomaly import MOST, Anomaly, Witness, seconds, witness
from kchaos.history.authors import Authors
from kchaos.history.collected import Stretch
from kchaos.history.events import Log
from kchaos.history.operations import Operation
from kchaos.history.told import asked, response, told_up_to


def too_soon(stretch: Stretch, authors: Authors, operations: Sequence[Operation]) -> Iterator[Anomaly]:
    """Yield events that were told before anybody asked for the change, the first few."""
    found = 0
    acknowledged, of = authors.acknowledged, authors.of
    for one in stretch.responses:
        for event in one.events:
            author = acknowledged.get(event.mod_revision)
            if author is None:
                author = of(event.key, event.value, event.mod_revision)
            if author is None or operations[author].call_s <= one.t:
                continue
            words = f"{event.words()} was told at {seconds(one.t)}, but it was asked for only at {seconds(operations[author].call_s)}"
            yield Anomaly("future", words, one.t, (asked(stretch), response(stretch, one), witness(author, operations[author])))
            found += 1
            if found == MOST:
                return
            break


def vanished(stretch: Stretch, log: Log, final_s: float) -> Iterator[Anomaly]:
    """Yield the first response of before the final reads that tells of a revision behind the end of what these found."""
    for one in stretch.responses:
        if one.t < final_s and told_up_to(one) > log.last:
            event = next((each for each in one.events if each.mod_revision > log.last), None)
            what = event.words() if event is not None else f"that all up to revision {one.revision} had been told"
            words = f"it was told: {what}; the history ends at revision {log.last}, although it was read later"
            ends = Witness(-1, None, f"the history of {log.member}, read from {seconds(final_s)} on, ends at revision {log.last}")
            yield Anomaly("invented", words, one.t, (asked(stretch), response(stretch, one), ends))
            return


def misplaced(log: Log) -> Iterator[Anomaly]:
    """Yield the first event that a member's whole history, which watches from its beginning on told, holds out of order, or twice."""
    if log.misplaced is None:
        return
    rule, before, then = log.misplaced
    what = f"{then.words()} after {before.words()}" if rule == "order" else f"{then.words()} twice"
    shown = [Witness(-1, None, f"a watch of the history of {log.member} told {when}: {one.words()}") for when, one in (("first", before), ("later", then))]
    yield Anomaly(rule, f"the history of {log.member}, as watches from its first revision on told it, holds {what}", 0.0, tuple(shown))
