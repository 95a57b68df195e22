"""Explanations: from the answer that replay contradicts to the two to four operations that can't all be right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kchaos.history.anomaly import Anomaly, as_seen, is_write, seconds, witness
from kchaos.history.events import Log
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.placement import FIRST_REVISION, Placed
from kchaos.history.replay import NOTHING, Failure, Key

MANY = 2
"""Unanswered writes that are shown as witnesses."""


class Explainer:
    """Explains failures of one history. ``unanswered``: how many writes without an answer had to be placed to replay it."""

    def __init__(self, operations: Sequence[Operation], placed: Placed, gaps: int, log: Log | None = None) -> None:
        self._operations = operations
        self._placed = placed
        self._gaps = gaps
        self._log = log

    def failure(self, failure: Failure) -> Anomaly:
        """Return the anomaly behind an answer that replay contradicts."""
        one = self._operations[failure.number]
        if failure.what == "revision":
            told = f"revision {one.revision} is not one that a store gives: it begins empty at {FIRST_REVISION}, and each change takes the next"
            return self._anomaly("impossible-revision", told, [failure.number])
        if failure.what == "compare":
            return self._compare(failure, one)
        if failure.what == "deleted":
            there = sorted(key for key, have in failure.have.items() if have is not None)
            told = f"it is said to have deleted {one.deleted} keys, yet as of then there were: {', '.join(there) or 'none'}"
            return self._anomaly("wrong-delete-count", told + self._whatever(), [failure.number, *self._last(failure, failure.have)])
        if failure.what == "log":
            return self._log_differs(failure, one)
        keys = tuple(failure.have)
        if not keys or len(one.reads) != len(one.seen):
            return self._anomaly("wrong-answer", f"asked for {', '.join(one.reads)}, it was told of {[s.key for s in one.seen]}", [failure.number])
        seen = next((s for key, s in zip(one.reads, one.seen, strict=True) if key == keys[0]), one.seen[0])
        return self._answer(failure, one, seen, failure.have[keys[0]])

    def _answer(self, failure: Failure, one: Operation, seen: Seen, have: Key | None) -> Anomaly:
        key, as_of = seen.key, one.revision - 1 if is_write(one) else one.revision
        here = f"as of revision {as_of}"
        last = self._last(failure, (key,))
        author = self._placed.writer.get(seen.mod_revision, -1)
        if seen.value is None and tuple(seen[1:]) == NOTHING:
            told = f"{here} {key} is absent, although {self._name(last)} and no acknowledged delete came after it"
            return self._anomaly("lost-write" if last else "unexplained", told + self._whatever(), [*last, failure.number])
        if seen.mod_revision > as_of:
            told = f"{here} {key} is told to be of revision {seen.mod_revision}, which was not there yet"
            return self._anomaly("from-the-future", told, [*([author] if author >= 0 else last), failure.number])
        if author >= 0 and (key, seen.value) not in self._operations[author].writes:
            told = f"{here} {key}={seen.value} is told to have been written at revision {seen.mod_revision}, which was another change"
            return self._anomaly("wrong-value", told, [author, failure.number])
        putting = [author] if author >= 0 else self._putting(key, seen.value)
        if not putting:
            told = f"{here} {as_seen(seen)}: no acknowledged change has this revision, and no call without an answer wrote this value"
            return self._anomaly("value-from-nowhere", told, [*last, failure.number])
        newer = [i for i in last if self._operations[i].revision > seen.mod_revision]
        if newer:
            told = f"{here} {key} is shown as of revision {seen.mod_revision}, although {self._name(newer)}"
            return self._anomaly("lost-write", told, [*putting[:1], *newer, failure.number])
        told = f"{here} it is told: {as_seen(seen)}; by replay of the revisions: {as_seen(have) if have is not None else f'{key} absent'}"
        rule = "wrong-version" if have is not None and have[1:3] == seen[1:3] else "unexplained"
        return self._anomaly(rule, told + self._whatever(), [*putting[:MANY], *last, failure.number])

    def _compare(self, failure: Failure, one: Operation) -> Anomaly:
        now = "; ".join(f"{key} was {'absent' if have is None else f'of revision {have[2]}'}" for key, have in failure.have.items())
        verb = "succeeded" if one.succeeded else "failed"
        told = f"its comparison {verb}, although right before it {now or 'there was nothing that it compared'}"
        return self._anomaly("wrong-compare", told + self._whatever(), [*self._last(failure, failure.have), failure.number])

    def _log_differs(self, failure: Failure, one: Operation) -> Anomaly:
        assert self._log is not None
        events = self._log.revisions.get(one.revision, ())
        there = "; ".join(event.words() for event in events) or "nothing"
        told = f"it was acknowledged at {seconds(one.return_s)} as revision {one.revision}; the history of {self._log.member} holds there: {there}"
        return self._anomaly("not-in-the-log", told, [failure.number])

    def gap(self, gap: int) -> Anomaly:
        """Return the anomaly of a gap that no unknown write can have filled."""
        for index in self._placed.order:
            one = self._operations[index]
            for seen in one.seen:
                if seen.mod_revision == gap and not self._putting(seen.key, seen.value):
                    told = f"{as_seen(seen)}: no acknowledged change has this revision, and no call without an answer wrote this value"
                    return self._anomaly("value-from-nowhere", told, [index])
        around = [self._placed.writer[one] for one in (gap - 1, gap + 1) if one in self._placed.writer]
        events = self._log.revisions.get(gap, ()) if self._log is not None else ()
        what = f" ({'; '.join(event.words() for event in events)})" if events else ""
        told = (
            f"revision {gap}{what} was taken by nobody: no acknowledged change has it, and none of the {len(self._placed.unknown)} writes without "
            "an answer can have taken it so that all answers are explained"
        )
        naming = [i for i in self._placed.order if any(gap in (s.mod_revision, s.create_revision) for s in self._operations[i].seen)][:1]
        return self._anomaly("gap", told, [*around, *naming, *self._placed.unknown[:1]])

    def _whatever(self) -> str:
        return f" (whichever of {len(self._placed.unknown)} unanswered writes took the {self._gaps} free revisions)" if self._gaps else ""

    def _name(self, indices: Sequence[int]) -> str:
        if not indices:
            return "it can't have been deleted"
        one = self._operations[indices[-1]]
        return f"revision {one.revision}, acknowledged at {seconds(one.return_s)}, changed it"

    def _last(self, failure: Failure, keys: Iterable[str]) -> list[int]:
        """Return the last acknowledged changes, before a failure, of the first of these keys that has one."""
        wanted = set(keys)
        for place in range(failure.at - 1, -1, -1):
            index = self._placed.order[place]
            if not self._placed.position[index] & 1 and any(key in wanted for key, _ in self._operations[index].writes):
                return [index]
        return []

    def _putting(self, key: str, value: str | None) -> list[int]:
        """Return the unanswered writes that put a value, or, for None, delete the key."""
        return [i for i in self._placed.unknown if (key, value) in self._operations[i].writes]

    def _anomaly(self, rule: str, told: str, indices: Iterable[int]) -> Anomaly:
        shown = list(dict.fromkeys(indices))[:4]
        at_s = max((self._operations[i].return_s for i in shown if self._operations[i].outcome == Outcome.OK), default=0.0)
        return Anomaly(rule, told, at_s, tuple(witness(i, self._operations[i]) for i in shown))
