"""Serializable reads without a history: what an answer does not tell is held against nobody."""

from __future__ import annotations

from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.serializable import past_reads

BEFORE = (
    Operation(0, "m1", "put", 0.0, 0.1, Outcome.OK, writes=(("a", "1"),), revision=2),
    Operation(0, "m1", "txn", 0.2, 0.3, Outcome.OK, writes=(("a", None), ("b", None)), revision=3, deleted=1),
)


def read(value: str | None, mod_revision: int) -> Operation:
    seen = Seen("a", value, mod_revision, mod_revision and 1, mod_revision)
    return Operation(1, "m2", "serializable-get", 0.4, 0.5, Outcome.OK, reads=("a",), revision=3, seen=(seen,))


def test_which_of_two_keys_a_transaction_deleted_is_not_known() -> None:
    assert past_reads((*BEFORE, read(None, 0))).verdict == "ok"
    assert past_reads((*BEFORE, read("1", 2))).verdict == "ok"


def test_a_key_that_nobody_deleted_is_missed() -> None:
    assert past_reads((BEFORE[0], read(None, 0)._replace(revision=2))).verdict == "violation"
