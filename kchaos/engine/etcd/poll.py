"""What the members say of themselves, four times a second: revision, term, leader, how far each has applied."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kchaos.engine.etcd.tasks import cancelled
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client
from kchaos.real.failures import CallError
from kchaos.real.messages import Status

EVERY_S = 0.25
TIMEOUT_S = 1.0
"""A member that does not answer for so long has no state that is worth waiting for: a status needs no quorum."""


class Poller:
    """Asks each member for its status from :meth:`start` to :meth:`stop`, over connections of its own, and records the answers."""

    def __init__(self, endpoints: Mapping[str, str], recorder: Recorder) -> None:
        """Take where each member is reached (host:port), and where to record."""
        self._endpoints = endpoints
        self._recorder = recorder
        self._clients: dict[str, Client] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._names: dict[int, str] = {}

    async def start(self) -> None:
        """Begin, inside the event loop in which all of it runs."""
        self._clients = {member: Client(endpoint, timeout_s=TIMEOUT_S) for member, endpoint in self._endpoints.items()}
        self._tasks = [asyncio.create_task(self._member(member, client)) for member, client in self._clients.items()]

    async def stop(self) -> None:
        """End, and close the connections; may be called twice."""
        tasks, self._tasks = self._tasks, []
        clients, self._clients = self._clients, {}
        try:
            await cancelled(tasks)
        finally:
            for client in clients.values():
                await client.close()

    async def _member(self, member: str, client: Client) -> None:
        while True:
            try:
                status = await client.status()
            except CallError as error:
                self._recorder.mark("status", member=member, error=str(error))
            else:
                self._names[status.member_id] = member
                self._recorder.mark("status", member=member, **told(status, self._names))
            await asyncio.sleep(EVERY_S)


def told(status: Status, names: Mapping[int, str]) -> dict[str, int | str]:
    """Return the fields of a ``status`` mark. ``names``: members by etcd's id; one that is not known is told as etcd does, in hexadecimal."""
    return {
        "revision": status.revision,
        "raft_term": status.raft_term,
        "raft_index": status.raft_index,
        "raft_applied_index": status.raft_applied_index,
        "leader": names.get(status.leader, f"{status.leader:x}") if status.leader else "",
        "db_size": status.db_size,
    }
