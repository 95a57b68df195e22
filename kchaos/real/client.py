"""A client of one etcd member that does each call once: no retry, no other member, a time-out on everything.

What a checker wants to know is what one member said to one call, so all that a friendly client does behind one's back is off: retries
(``grpc.enable_retries``), service configs, proxies from the environment, shared connections. A call ends with an answer or with a
:class:`kchaos.real.failures.CallError` that knows whether it certainly had no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from kchaos.real import etcd_pb2 as pb
from kchaos.real.failures import CallError
from kchaos.real.messages import (
    Answer,
    Compare,
    Delete,
    Get,
    Hash,
    Named,
    Put,
    Request,
    Status,
    WatchAnswer,
    before,
    compare_of,
    delete_request,
    event_of,
    pairs,
    put_request,
    range_request,
    request_op,
)

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", -1),
)
"""A connection of its own, tried again every 100 to 500 ms (gRPC's own: 1 to 120 s; ``min`` is how long one attempt may take)."""

TIMEOUT_S = 2.0
"""Longer than an election (etcd's default: 1 to 2 s after the leader was lost), so that not every write around one is in doubt."""


class Client:
    """Calls to one member, over one connection of its own; to be made and used inside one event loop, and closed there."""

    def __init__(self, endpoint: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take where the member is reached (host:port) and how long a call may take; the connection is made with the first call."""
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._channel = grpc.aio.insecure_channel(endpoint, options=OPTIONS)
        self._range = self._unary("KV/Range", pb.RangeRequest, pb.RangeResponse)
        self._put = self._unary("KV/Put", pb.PutRequest, pb.PutResponse)
        self._delete = self._unary("KV/DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse)
        self._txn = self._unary("KV/Txn", pb.TxnRequest, pb.TxnResponse)
        self._status = self._unary("Maintenance/Status", pb.StatusRequest, pb.StatusResponse)
        self._hash = self._unary("Maintenance/HashKV", pb.HashKVRequest, pb.HashKVResponse)
        self._members = self._unary("Cluster/MemberList", pb.MemberListRequest, pb.MemberListResponse)
        self._watch = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )

    def _unary(self, method: str, request: Any, response: Any) -> Any:
        path = f"/etcdserverpb.{method}"
        return self._channel.unary_unary(path, request_serializer=request.SerializeToString, response_deserializer=response.FromString)

    async def _call(self, method: Any, request: Any, timeout_s: float | None) -> Any:
        try:
            return await method(request, timeout=self.timeout_s if timeout_s is None else timeout_s)
        except grpc.aio.AioRpcError as error:
            heed_cancellation()
            raise call_error(error) from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end with CANCELLED."""
        await self._channel.close()

    async def get(self, request: Get, *, timeout_s: float | None = None) -> Answer:
        """Read. Raises CallError, as all that follow."""
        found = await self._call(self._range, range_request(request), timeout_s)
        return Answer(found.header.revision, found.header.raft_term, (pairs(found.kvs),))

    async def put(self, request: Put, *, timeout_s: float | None = None) -> Answer:
        """Write one key."""
        done = await self._call(self._put, put_request(request), timeout_s)
        return Answer(done.header.revision, done.header.raft_term, (before(done),))

    async def delete(self, request: Delete, *, timeout_s: float | None = None) -> Answer:
        """Delete one key or a range."""
        done = await self._call(self._delete, delete_request(request), timeout_s)
        return Answer(done.header.revision, done.header.raft_term, (pairs(done.prev_kvs),), done.deleted)

    async def txn(
        self, compares: Sequence[Compare], then: Sequence[Request], otherwise: Sequence[Request] = (), *, timeout_s: float | None = None
    ) -> Answer:
        """Do ``then`` if all compares hold, else ``otherwise``, as one change."""
        request = pb.TxnRequest(
            compare=[compare_of(one) for one in compares],
            success=[request_op(one) for one in then],
            failure=[request_op(one) for one in otherwise],
        )
        done = await self._call(self._txn, request, timeout_s)
        found = []
        deleted = 0
        for part in done.responses:
            sort = part.WhichOneof("response")
            if sort == "response_range":
                found.append(pairs(part.response_range.kvs))
            elif sort == "response_put":
                found.append(before(part.response_put))
            else:
                found.append(pairs(part.response_delete_range.prev_kvs))
                deleted += part.response_delete_range.deleted
        return Answer(done.header.revision, done.header.raft_term, tuple(found), deleted, done.succeeded)

    def watch(self, key: str, end: str = "", *, from_revision: int = 0, progress_notify: bool = True, previous: bool = False) -> Watch:
        """Watch a key or range from a revision on (0: from now on); use it with ``async with``."""
        create = pb.WatchCreateRequest(
            key=key.encode(), range_end=end.encode(), start_revision=from_revision, progress_notify=progress_notify, prev_kv=previous
        )
        return Watch(self._watch, create, self.timeout_s)

    async def status(self, *, timeout_s: float | None = None) -> Status:
        """Ask the member for its own state; it answers without a quorum."""
        got = await self._call(self._status, pb.StatusRequest(), timeout_s)
        return Status(
            got.header.member_id, got.version, got.header.revision, got.raftTerm, got.raftIndex, got.raftAppliedIndex, got.leader,
            got.dbSize, tuple(got.errors),
        )  # fmt: skip

    async def hash_kv(self, revision: int = 0, *, timeout_s: float | None = None) -> Hash:
        """Hash the member's own store as of a revision (0: the newest)."""
        got = await self._call(self._hash, pb.HashKVRequest(revision=revision), timeout_s)
        return Hash(got.hash, got.compact_revision, got.header.revision)

    async def members(self, *, timeout_s: float | None = None) -> tuple[Named, ...]:
        """List the members of the cluster."""
        got = await self._call(self._members, pb.MemberListRequest(linearizable=True), timeout_s)
        return tuple(Named(one.ID, one.name, tuple(one.clientURLs)) for one in got.members)


class Watch:
    """One watch on one stream: asynchronous iteration yields :class:`WatchAnswer` until the server ends it; CallError if it breaks."""

    def __init__(self, method: Any, create: pb.WatchCreateRequest, timeout_s: float) -> None:
        """Take the method that opens a stream, what to watch, and how long it may take to ask for it."""
        self._method = method
        self._create: pb.WatchCreateRequest | None = create
        self._timeout_s = timeout_s
        self._id = 0
        self._call: Any = None

    async def __aenter__(self) -> Self:
        self._call = self._method()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchAnswer:
        if self._create is not None:
            create, self._create = self._create, None
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._write(pb.WatchRequest(create_request=create))
            except TimeoutError:
                raise CallError("DEADLINE_EXCEEDED", "the watch could not be asked for") from None
        try:
            got = await self._call.read()
        except grpc.aio.AioRpcError as error:
            heed_cancellation()
            raise call_error(error) from None
        if got is grpc.aio.EOF:
            heed_cancellation()
            raise StopAsyncIteration
        if got.created:
            self._id = got.watch_id
        events = tuple(map(event_of, got.events))
        return WatchAnswer(got.header.revision, got.created, got.canceled, got.compact_revision, got.cancel_reason, events)

    async def ask_progress(self) -> None:
        """Ask for a progress notification now."""
        await self._write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def cancel(self) -> None:
        """Ask the server to end the watch; its last answer says so."""
        await self._write(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=self._id)))

    async def _write(self, request: pb.WatchRequest) -> None:
        try:
            await self._call.write(request)
        except grpc.aio.AioRpcError as error:
            raise call_error(error) from None
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:  # the stream has ended in the meantime
            raise CallError("CANCELLED", str(error)) from None


def heed_cancellation() -> None:
    """Raise CancelledError if the task is being cancelled.

    gRPC tells of a call that its own task cancels now by CancelledError, now by an error with the code CANCELLED, now by the end of the
    stream. Whoever went on after the latter two would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def call_error(error: Any) -> CallError:
    """Return gRPC's error as ours."""
    return CallError(error.code().name, error.details() or "")
