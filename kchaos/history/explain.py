"""Explanations: from the answer that replay contradicts to the two to four operations that can't all be right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kchaos.history.anomaly import Anomaly, Witness, anomaly, as_seen, is_write, seconds, witness
from kchaos.history.beside import held, nearest, refused
from kchaos.history.events import Log
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.placement import FIRST_REVISION, Placed
from kchaos.history.replay import NOTHING, Failure, Key

MANY = 2
"""Unanswered writes that are shown as witnesses."""

NOBODY = "no acknowledged change has this revision, and no call without an answer wrote this value"


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
            return self._contradicted("impossible-revision", told, [], failure)
        if failure.what == "compare":
            return self._compare(failure, one)
        if failure.what == "deleted":
            there = sorted(key for key, have in failure.have.items() if have is not None)
            told = f"it is said to have deleted {one.deleted} keys, yet as of then there were: {', '.join(there) or 'none'}"
            return self._contradicted("wrong-delete-count", told + self._whatever(), self._changing(failure, failure.have), failure)
        if failure.what == "log":
            return self._log_differs(failure, one)
        keys = tuple(failure.have)
        if not keys or len(one.reads) != len(one.seen):
            told = f"asked for {', '.join(one.reads)}, it was told of {', '.join(s.key for s in one.seen) or 'nothing'}"
            return self._contradicted("wrong-answer", told, self._changing(failure, one.reads), failure)
        seen = next((s for key, s in zip(one.reads, one.seen, strict=True) if key == keys[0]), one.seen[0])
        return self._answer(failure, one, seen, failure.have[keys[0]])

    def _answer(self, failure: Failure, one: Operation, seen: Seen, have: Key | None) -> Anomaly:
        key, as_of = seen.key, one.revision - 1 if is_write(one) else one.revision
        here = f"as of revision {as_of}"
        last = self._last(failure, (key,))
        author = self._placed.writer.get(seen.mod_revision, -1)
        if seen.value is None and tuple(seen[1:]) == NOTHING:
            told = f"{here} {key} is absent, although {self._name(last)} and no acknowledged delete came after it"
            return self._contradicted("lost-write" if last else "unexplained", told + self._whatever(), self._changing(failure, (key,)), failure)
        if seen.mod_revision > as_of:
            told = f"{here} {key} is told to be of revision {seen.mod_revision}, which was not there yet"
            return self._contradicted("from-the-future", told, [author] if author >= 0 else self._changing(failure, (key,)), failure)
        if author >= 0 and (key, seen.value) not in self._operations[author].writes:
            told = f"{here} {key}={seen.value} is told to have been written at revision {seen.mod_revision}, which was another change"
            return self._contradicted("wrong-value", told, [author], failure)
        putting = [author] if author >= 0 else self._putting(key, seen.value)
        if not putting:
            told = f"{here} {as_seen(seen)}: {NOBODY}"
            beside = [*self._changing(failure, (key,)), *refused(self._operations, {(key, seen.value)})]
            return self._contradicted("value-from-nowhere", told, beside, failure, seen.mod_revision)
        newer = [i for i in last if self._operations[i].revision > seen.mod_revision]
        if newer:
            told = f"{here} {key} is shown as of revision {seen.mod_revision}, although {self._name(newer)}"
            return self._contradicted("lost-write", told, [*putting[:1], *newer], failure)
        told = f"{here} it is told: {as_seen(seen)}; by replay of the revisions: {as_seen(have) if have is not None else f'{key} absent'}"
        rule = "wrong-version" if have is not None and have[1:3] == seen[1:3] else "unexplained"
        return self._contradicted(rule, told + self._whatever(), [*putting[:MANY], *last], failure)

    def _compare(self, failure: Failure, one: Operation) -> Anomaly:
        now = "; ".join(f"{key} was {'absent' if have is None else f'of revision {have[2]}'}" for key, have in failure.have.items())
        verb = "succeeded" if one.succeeded else "failed"
        told = f"its comparison {verb}, although right before it {now or 'there was nothing that it compared'}"
        compared = [self._placed.writer[mod] for _, mod in one.compares if mod in self._placed.writer][:1]
        return self._contradicted("wrong-compare", told + self._whatever(), self._changing(failure, failure.have) or compared, failure)

    def _log_differs(self, failure: Failure, one: Operation) -> Anomaly:
        assert self._log is not None
        events = self._log.revisions.get(one.revision, ())
        there = "; ".join(event.words() for event in events) or "nothing"
        told = f"it was acknowledged at {seconds(one.return_s)} as revision {one.revision}; the history of {self._log.member} holds there: {there}"
        authors = [i for event in events for i in self._putting(event.key, event.value)][:1]
        shown = [*self._last(failure, failure.have), *authors, failure.number]
        return anomaly("not-in-the-log", told, one.return_s, [*self._witnesses(shown), *held(self._log, one.revision)])

    def gap(self, gap: int) -> Anomaly:
        """Return the anomaly of a gap that no unknown write can have filled."""
        before, after = ([self._placed.writer[one]] if one in self._placed.writer else [] for one in (gap - 1, gap + 1))
        covered = self._log is not None and self._log.covers(gap)
        there = held(self._log, gap) if covered else []
        for index in self._placed.order:
            one = self._operations[index]
            for seen in one.seen:
                if seen.mod_revision == gap and not self._putting(seen.key, seen.value):
                    told = f"{as_seen(seen)}: {NOBODY}"
                    beside = refused(self._operations, {(seen.key, seen.value)}) or [i for i in before or after if i != index] or self._placed.unknown[:1]
                    return anomaly("value-from-nowhere", told, one.return_s, [*self._witnesses(beside), *there, *self._witnesses([index])])
        events = self._log.revisions.get(gap, ()) if self._log is not None else ()
        what = f" ({'; '.join(event.words() for event in events)})" if events else ""
        told = (
            f"revision {gap}{what} was taken by nobody: no acknowledged change has it, and none of the {len(self._placed.unknown)} writes without "
            "an answer can have taken it so that all answers are explained"
        )
        naming = [i for i in self._placed.order if any(gap in (s.mod_revision, s.create_revision) for s in self._operations[i].seen)][:1]
        telling = (naming or after or [i for i in self._placed.order if self._placed.position[i] >> 1 >= gap][:1]) if not covered else naming
        there = there if telling else held(self._log, gap)  # who tells of revisions behind the gap, if no answer does
        shown = [*before, *self._placed.unknown[:1], *telling]
        at_s = max((self._operations[i].return_s for i in (*before, *telling)), default=0.0)
        return anomaly("gap", told, at_s, [*self._witnesses(shown[:-1] if telling else shown), *there, *self._witnesses(shown[-1:] if telling else [])])

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

    def _changing(self, failure: Failure, keys: Iterable[str]) -> list[int]:
        """Return the last acknowledged change of these keys before a failure, or, if there is none, unanswered writes that may have changed them."""
        wanted = set(keys)
        return self._last(failure, wanted) or [i for i in self._placed.unknown if any(key in wanted for key, _ in self._operations[i].writes)][:MANY]

    def _contradicted(self, rule: str, told: str, by: Sequence[int], failure: Failure, revision: int = 0) -> Anomaly:
        """Return the anomaly of an answer that other operations contradict: it is the last of the witnesses.

        If there are none it contradicts itself, or what a store is: then the operation next to it by revision shows where the store stood, and the
        log what it holds at ``revision`` (else the one of the answer).
        """
        one = self._operations[failure.number]
        others = [i for i in dict.fromkeys(by) if i != failure.number]
        at_s = max((self._operations[i].return_s for i in (*others, failure.number) if self._operations[i].outcome == Outcome.OK), default=0.0)
        logged: list[Witness] = []
        if not others:
            others = nearest(self._placed.order, failure.at)
            told += "".join(f"; next to it by revision: {self._operations[i].revision}, answered at {seconds(self._operations[i].return_s)}" for i in others)
            logged = held(self._log, revision or one.revision)
        return anomaly(rule, told, at_s, [*self._witnesses(others), *logged, witness(failure.number, one)])

    def _witnesses(self, indices: Iterable[int]) -> list[Witness]:
        return [witness(i, self._operations[i]) for i in dict.fromkeys(indices)]
