"""Operations on a key-value store as clients saw them: what was asked, what came back, and between which two instants.

One shape for all of etcd's requests: a transaction that compares, reads and writes. A client's call is in exactly one of Jepsen's three
outcomes (https://github.com/jepsen-io/jepsen): ``ok``, ``failed`` (it certainly took no effect), ``unknown`` (nobody can say, for ever after).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from kchaos.history.record import Mark

OP = "op"
"""The sort of mark that holds an operation."""


class Outcome(StrEnum):
    """What a client knows of its call."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Seen(NamedTuple):
    """What a read saw of one key; ``value`` None and zeros: the key is not there (etcd's KeyValue message)."""

    key: str
    value: str | None
    mod_revision: int = 0
    version: int = 0
    create_revision: int = 0


class Operation(NamedTuple):
    """One call of one client, in etcd's terms.

    It takes effect at one instant between ``call_s`` and ``return_s`` (an unknown one at any later instant too, or never): if each of
    ``compares`` (key, expected mod_revision; 0: absent) holds, it ``reads`` and then applies ``writes`` (key, value; None: delete; a
    delete of an absent key changes nothing). If one does not hold, it reads only. A write that changes something takes the next revision,
    all its keys the same; no key is written twice. ``revision`` is the answer's header.revision: the revision that was taken, or, if
    nothing was written, the store's revision as of the reads. Reads of a transaction that writes see what was before its writes.
    """

    process: int
    """The client: one call after the other (Jepsen's word)."""
    member: str
    """Whom it asked."""
    kind: str
    """put, get, serializable-get, cas, delete or txn."""
    call_s: float
    return_s: float
    """When the answer came, or the client gave up."""
    outcome: Outcome
    compares: tuple[tuple[str, int], ...] = ()
    writes: tuple[tuple[str, str | None], ...] = ()
    reads: tuple[str, ...] = ()
    revision: int = 0
    succeeded: bool = True
    """Whether all compares held; meaningless unless ok."""
    seen: tuple[Seen, ...] = ()
    """One for each of ``reads``, in order, if ok."""
    deleted: int = 0
    """How many keys its deletes took away."""
    error: str = ""
    """Why it failed or is unknown."""

    @property
    def serializable(self) -> bool:
        """Tell whether it may be answered from any member's past."""
        return self.kind == "serializable-get"


_DEFAULTS = Operation._field_defaults
_FIELDS = frozenset(Operation._fields)


def mark_data(operation: Operation) -> dict[str, Any]:
    """Return an operation as the data of a mark; what is as by default is left out."""
    return {name: value for name, value in operation._asdict().items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def operation_of(mark: Mark) -> Operation:
    """Return the operation that a mark holds. Raises msgspec.ValidationError for one that holds none."""
    data = mark.data
    if not data.keys() <= _FIELDS:
        raise msgspec.ValidationError(f"an operation has no `{min(data.keys() - _FIELDS)}`")
    try:
        return msgspec.convert([data[name] if name in data else _DEFAULTS[name] for name in Operation._fields], Operation)
    except KeyError as error:
        raise msgspec.ValidationError(f"an operation needs `{error.args[0]}`") from error
