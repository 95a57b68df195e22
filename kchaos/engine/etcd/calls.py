"""From a drawn request to a call of etcd's API, and from its answer to an operation of the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kchaos.engine.etcd.drawing import Asked
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.real.client import Client
from kchaos.real.failures import CallError
from kchaos.real.messages import Answer, Compare, Delete, Get, Put, Request, Target


class Call(NamedTuple):
    """A request as it goes to etcd, in the terms of :class:`kchaos.history.operations.Operation`."""

    kind: str
    compares: tuple[tuple[str, int], ...]
    writes: tuple[tuple[str, str | None], ...]
    reads: tuple[str, ...]


def filled(asked: Asked, known: Mapping[str, int], process: int, count: int) -> Call:
    """Return the call for a drawn request: values ``<process>-<n>`` from ``count`` on, which nobody else writes, and the revisions known.

    A key of which nothing is known is compared as one that is not there.
    """
    writes: list[tuple[str, str | None]] = [(key, f"{process}-{number}") for number, key in enumerate(asked.puts, start=count)]
    writes += [(key, None) for key in asked.deletes]
    return Call(asked.kind, tuple((key, known.get(key, 0)) for key in asked.compares), tuple(writes), asked.reads)


async def ask(client: Client, call: Call) -> Answer:
    """Make the call: put, range and delete requests for the kinds of one key, else a transaction. Raises CallError.

    In a transaction the reads come before the writes, because etcd carries its requests out in order and later ones see earlier ones.
    """
    kind = call.kind
    if kind == "put":
        ((key, value),) = call.writes
        return await client.put(Put(key, value or "", previous=bool(call.reads)))
    if kind == "delete":
        return await client.delete(Delete(call.writes[0][0], previous=bool(call.reads)))
    if kind in ("get", "serializable-get"):
        return await client.get(Get(call.reads[0], serializable=kind == "serializable-get"))
    reads: list[Request] = [Get(key) for key in call.reads]
    writes: list[Request] = [Delete(key) if value is None else Put(key, value) for key, value in call.writes]
    compares = [Compare(key, Target.MOD, revision) for key, revision in call.compares]
    return await client.txn(compares, reads + writes, reads)


def answered(process: int, member: str, call: Call, called_s: float, returned_s: float, answer: Answer) -> Operation:
    """Return the operation of a call that got its answer."""
    seen = tuple(
        Seen(*found[0]) if found else Seen(key, None) for key, found in zip(call.reads, answer.found, strict=False)
    )  # a transaction's writes are answered after its reads  # fmt: skip
    return Operation(
        process, member, call.kind, called_s, returned_s, Outcome.OK,
        call.compares, call.writes, call.reads, answer.revision, answer.succeeded, seen, answer.deleted,
    )  # fmt: skip


def unanswered(process: int, member: str, call: Call, called_s: float, returned_s: float, error: CallError) -> Operation:
    """Return the operation of a call that ended with an error: failed if it certainly had no effect, as one without a write never has."""
    outcome = Outcome.FAILED if error.no_effect or not call.writes else Outcome.UNKNOWN
    return Operation(
        process, member, call.kind, called_s, returned_s, outcome, call.compares, call.writes, call.reads, error=str(error)
    )  # fmt: skip


def learn(known: dict[str, int], operation: Operation) -> None:
    """Take over which mod_revision of each key an operation has shown: what it read, then what it wrote (0: the key is gone)."""
    for seen in operation.seen:
        known[seen.key] = seen.mod_revision
    if operation.outcome is Outcome.OK and operation.succeeded:
        for key, value in operation.writes:
            known[key] = 0 if value is None else operation.revision
