"""What goes to etcd and comes back, as immutable values instead of protobuf messages.

Keys and values are text, UTF-8 on the wire; bytes of others that are no UTF-8 are read with backslash escapes.
"""

from __future__ import annotations

from enum import Enum, auto
from sys import intern
from typing import Any, NamedTuple

from kchaos.real import etcd_pb2 as pb

FIRST, EVERYTHING_AFTER = "\0", "\0"
"""Key and end of the range of all keys, as in etcd's RangeRequest."""


class KeyValue(NamedTuple):
    """One key as of one revision."""

    key: str
    value: str
    mod_revision: int
    version: int
    create_revision: int


class Target(Enum):
    """What of a key a transaction compares; an absent key has version and revisions 0."""

    VERSION = auto()
    CREATE = auto()
    MOD = auto()
    VALUE = auto()


class Result(Enum):
    """How what is there must compare with what is expected."""

    EQUAL = auto()
    GREATER = auto()
    LESS = auto()
    NOT_EQUAL = auto()


class Compare(NamedTuple):
    """A condition of a transaction; ``expected`` is text for VALUE, else a number."""

    key: str
    target: Target
    expected: int | str
    result: Result = Result.EQUAL


class Get(NamedTuple):
    """A read of one key, or of all from ``key`` up to but without ``end``; ``revision`` 0: the newest."""

    key: str
    end: str = ""
    revision: int = 0
    serializable: bool = False


class Put(NamedTuple):
    """A write; ``previous``: answer with what was there before."""

    key: str
    value: str
    previous: bool = False


class Delete(NamedTuple):
    """A deletion; ``previous``: answer with what was there."""

    key: str
    end: str = ""
    previous: bool = False


Request = Get | Put | Delete


class Answer(NamedTuple):
    """etcd's answer to a get, put, delete or transaction.

    ``found`` has one entry for each request that was carried out, in order: what a get found, what was there before a put or delete
    that asked for it, else nothing.
    """

    revision: int
    raft_term: int
    found: tuple[tuple[KeyValue, ...], ...]
    deleted: int = 0
    succeeded: bool = True


class Event(NamedTuple):
    """One change that a watch reports; ``value`` None and version 0: deleted."""

    key: str
    value: str | None
    mod_revision: int
    create_revision: int
    version: int
    previous: KeyValue | None = None


class WatchAnswer(NamedTuple):
    """One WatchResponse. Without events, and neither created nor cancelled, it is a progress notification: nothing up to ``revision`` is missing."""

    revision: int
    created: bool
    canceled: bool
    compact_revision: int
    reason: str
    events: tuple[Event, ...]

    @property
    def progress(self) -> bool:
        """Tell whether it only says how far the watch has come."""
        return not (self.created or self.canceled or self.events)


class Status(NamedTuple):
    """What a member says of itself; ``leader`` and ``member_id`` are etcd's ids (0: no leader)."""

    member_id: int
    version: str
    revision: int
    raft_term: int
    raft_index: int
    raft_applied_index: int
    leader: int
    db_size: int
    errors: tuple[str, ...]


class Hash(NamedTuple):
    """HashKV: the hash over all revisions after ``compact_revision`` up to the asked one."""

    hash: int
    compact_revision: int
    revision: int
    """The member's newest revision."""


class Named(NamedTuple):
    """A member as the cluster knows it."""

    member_id: int
    name: str
    client_urls: tuple[str, ...]


def prefix_end(prefix: str) -> str:
    """Return the end of the range of all keys with a prefix: the prefix with its last character increased."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def text_of(raw: bytes) -> str:
    """Return bytes as text. Each text is kept once: the same keys and values come back in answers, watches and histories, millions of times."""
    return intern(raw.decode(errors="backslashreplace"))


def pair(kv: pb.KeyValue) -> KeyValue:
    """Return one key of an answer."""
    return KeyValue(text_of(kv.key), text_of(kv.value), kv.mod_revision, kv.version, kv.create_revision)


def pairs(kvs: Any) -> tuple[KeyValue, ...]:
    """Return the keys of an answer."""
    return tuple(map(pair, kvs))


def before(done: pb.PutResponse) -> tuple[KeyValue, ...]:
    """Return what was there before a put, if it asked for it and there was something."""
    return (pair(done.prev_kv),) if done.HasField("prev_kv") else ()


def event_of(event: pb.Event) -> Event:
    """Return one change of a watch."""
    kv = event.kv
    gone = event.type == pb.Event.DELETE
    previous = pair(event.prev_kv) if event.HasField("prev_kv") else None
    return Event(text_of(kv.key), None if gone else text_of(kv.value), kv.mod_revision, kv.create_revision, kv.version, previous)


def range_request(request: Get) -> pb.RangeRequest:
    """Return a read as a message."""
    return pb.RangeRequest(
        key=request.key.encode(), range_end=request.end.encode(), revision=request.revision, serializable=request.serializable
    )


def put_request(request: Put) -> pb.PutRequest:
    """Return a write as a message."""
    return pb.PutRequest(key=request.key.encode(), value=request.value.encode(), prev_kv=request.previous)


def delete_request(request: Delete) -> pb.DeleteRangeRequest:
    """Return a deletion as a message."""
    return pb.DeleteRangeRequest(key=request.key.encode(), range_end=request.end.encode(), prev_kv=request.previous)


def request_op(request: Request) -> pb.RequestOp:
    """Return a part of a transaction as a message."""
    if isinstance(request, Get):
        return pb.RequestOp(request_range=range_request(request))
    if isinstance(request, Put):
        return pb.RequestOp(request_put=put_request(request))
    return pb.RequestOp(request_delete_range=delete_request(request))


def compare_of(compare: Compare) -> pb.Compare:
    """Return a condition of a transaction as a message."""
    key, expected, result = compare.key.encode(), compare.expected, compare.result.name
    if isinstance(expected, str):
        return pb.Compare(key=key, result=result, target="VALUE", value=expected.encode())
    if compare.target is Target.VERSION:
        return pb.Compare(key=key, result=result, target="VERSION", version=expected)
    if compare.target is Target.CREATE:
        return pb.Compare(key=key, result=result, target="CREATE", create_revision=expected)
    return pb.Compare(key=key, result=result, target="MOD", mod_revision=expected)
