"""Ten claims about etcd: nine that must hold whatever the faults, and one that must hold once they are healed."""

from __future__ import annotations

from kchaos.check.property import Guarantee
from kchaos.history.anomaly import Judgement, is_write
from kchaos.history.backwards import never_back
from kchaos.history.durable import durable
from kchaos.history.linearize import linearizable
from kchaos.history.members import kept_running, members_agree, recovered
from kchaos.history.operations import Operation, Outcome
from kchaos.history.serializable import past_reads
from kchaos.properties.common import declare
from kchaos.properties.etcd.monitor import EtcdMonitor, Whole


def _acknowledged(one: Operation) -> bool:
    return one.outcome == Outcome.OK and is_write(one)


class _Linearizable(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        operations = whole.collected.operations
        read = any(one.outcome == Outcome.OK and one.reads and not one.serializable for one in operations)
        self.exercised = read and any(_acknowledged(one) for one in operations)
        return linearizable(operations, whole.log)


class _Durable(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        collected = whole.collected
        self.exercised = (bool(whole.logs) or whole.final_s is not None) and any(_acknowledged(one) for one in collected.operations)
        return whole.unless_unread(durable(collected.operations, whole.logs, collected.lives, whole.final_s), "log")


class _PastReads(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        operations = whole.collected.operations
        self.exercised = any(one.outcome == Outcome.OK and one.serializable for one in operations)
        return past_reads(operations, whole.log)


class _Ordered(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        self.exercised = whole.watched.responses > 1
        return whole.watched.ordered


class _Complete(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        self.exercised = whole.watched.due > 0
        return whole.watched.complete


class _Atomic(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        self.exercised = whole.watched.together > 0
        return whole.watched.atomic


class _Agree(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        hashes = whole.collected.hashes
        compared = len({(one.revision, one.compact_revision, one.member) for one in hashes}) > len({(one.revision, one.compact_revision) for one in hashes})
        self.exercised = compared or len(whole.logs) > 1
        return whole.unless_unread(members_agree(hashes, whole.logs, whole.collected.lives), "hash")


class _NeverBack(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        collected = whole.collected
        self.exercised = sum(one.outcome == Outcome.OK for one in collected.operations) > 1
        return never_back(collected.operations, collected.statuses, collected.lives)


class _NoPanic(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        self.exercised = bool(whole.collected.members)
        return kept_running(whole.collected.panics, whole.lately)


class _Recovers(EtcdMonitor):
    def judge(self, whole: Whole) -> Judgement:
        finals = whole.collected.finals
        self.exercised = bool(finals)
        return recovered(finals, list(whole.collected.members), whole.lately) if finals else Judgement("ok")


DOCS = "https://etcd.io/docs/v3.6/"
GUARANTEES = DOCS + "learning/api_guarantees/"
PROPERTIES = (
    declare("KC401", "64", "linearizable", "Changes and linearizable reads take effect one after the other, in the order of revisions and of real time.",
            GUARANTEES + "#isolation-level-and-consistency-of-replicas", _Linearizable),
    declare("KC402", "61", "durable", "What was acknowledged is in every member's history, at its revision, with its content, whatever became of the members.",
            GUARANTEES + "#durability", _Durable),
    declare("KC403", "64", "serializable-past", "A serializable read returns some past state, whole and as of the revision that it names, never a future one.",
            GUARANTEES + "#isolation-level-and-consistency-of-replicas", _PastReads),
    declare("KC404", "65", "watch-ordered", "A watcher is told of events in the order of revisions, each once, and of none before the revision that it asked for.",
            GUARANTEES + "#watch-apis", _Ordered),
    declare("KC405", "65", "watch-complete", "A watcher is told of every event from the revision that it asked for to the last that it was told of, as it happened.",
            GUARANTEES + "#watch-apis", _Complete),
    declare("KC406", "65", "watch-atomic", "The events of one revision are told together.",
            GUARANTEES + "#watch-apis", _Atomic),
    declare("KC407", "67", "members-agree", "Members hold the same history, and the same state at the same revision.",
            DOCS + "op-guide/data_corruption/", _Agree),
    declare("KC408", "66", "revisions-never-go-back", "No answer is as of an earlier revision than what was answered before it was asked for.",
            DOCS + "learning/api/#revisions", _NeverBack),
    declare("KC409", "", "no-panic", "No member panics, ends with a fatal error, or exits by itself.",
            DOCS + "op-guide/failures/", _NoPanic),
    declare("KC410", "", "recovers", "Once all faults are healed every member answers, and all follow one leader.",
            DOCS + "op-guide/failures/", _Recovers, Guarantee.WITHOUT_FAULTS, liveness=True),
)  # fmt: skip
