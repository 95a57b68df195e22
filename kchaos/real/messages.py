"""What goes to etcd and comes back, as immutable values instead of protobuf messages.

Keys and values are text, UTF-8 on the wire; bytes of others that are no UTF-8 are read with backslash escapes.
"""

from __future__ import annotations

from enum import StrEnum
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


class Target(StrEnum):
    """What of a key a transaction compares."""

    VERSION = "version"
    CREATE = "create_revision"
    MOD = "mod_revision"
    VALUE = "value"


class Compare(NamedTuple):
    """A condition of a transaction; ``result`` is EQUAL, GREATER, LESS or NOT_EQUAL. An absent key has version and revisions 0."""

    key: str
    target: Target
    expected: int | str
    result: str = "EQUAL"


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
    return raw.decode(errors="backslashreplace")


def pair(kv: pb.KeyValue) -> KeyValue:
    return KeyValue(text_of(kv.key), text_of(kv.value), kv.mod_revision, kv.version, kv.create_revision)


def pairs(kvs: Any) -> tuple[KeyValue, ...]:
    return tuple(map(pair, kvs))


def before(done: pb.PutResponse) -> tuple[KeyValue, ...]:
    return (pair(done.prev_kv),) if done.HasField("prev_kv") else ()


def event_of(event: pb.Event) -> Event:
    kv = event.kv
    gone = event.type == pb.Event.DELETE
    previous = pair(event.prev_kv) if event.HasField("prev_kv") else None
    return Event(text_of(kv.key), None if gone else text_of(kv.value), kv.mod_revision, kv.create_revision, kv.version, previous)


def range_request(request: Get) -> pb.RangeRequest:
    return pb.RangeRequest(
        key=request.key.encode(), range_end=request.end.encode(), revision=request.revision, serializable=request.serializable
    )


def put_request(request: Put) -> pb.PutRequest:
    return pb.PutRequest(key=request.key.encode(), value=request.value.encode(), prev_kv=request.previous)


def delete_request(request: Delete) -> pb.DeleteRangeRequest:
    return pb.DeleteRangeRequest(key=request.key.encode(), range_end=request.end.encode(), prev_kv=request.previous)


def request_op(request: Request) -> pb.RequestOp:
    if isinstance(request, Get):
        return pb.RequestOp(request_range=range_request(request))
    if isinstance(request, Put):
        return pb.RequestOp(request_put=put_request(request))
    return pb.RequestOp(request_delete_range=delete_request(request))


_TARGETS = {Target.VERSION: "VERSION", Target.CREATE: "CREATE", Target.MOD: "MOD", Target.VALUE: "VALUE"}


def compare_of(compare: Compare) -> pb.Compare:
    expected = compare.expected.encode() if isinstance(compare.expected, str) else compare.expected
    return pb.Compare(
        key=compare.key.encode(),
        result=pb.Compare.CompareResult.Value(compare.result),
        target=pb.Compare.CompareTarget.Value(_TARGETS[compare.target]),
        **{compare.target.value: expected},
    )
