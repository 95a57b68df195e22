"""What the members say of themselves, four times a second: revision, term, leader, how far each has applied."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kchaos.engine.etcd.counters import Elections
from kchaos.engine.etcd.tasks import slept
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client
from kchaos.real.failures import CallError
from kchaos.real.messages import Status

EVERY_S = 0.25
TIMEOUT_S = 1.0
"""A member that does not answer for so long has no state that is worth waiting for: a status needs no quorum."""


class Poller:
    """Asks each member for its status while :meth:`run` runs, records it, and keeps the newest for a display."""

    def __init__(self, clients: Mapping[str, Client], recorder: Recorder) -> None:
        self._clients = clients
        self._recorder = recorder
        self._names: dict[int, str] = {0: ""}
        self._elections = Elections()
        self.newest: dict[str, Status | None] = dict.fromkeys(clients)
        """Each member's last answer; None: it has not answered the last time."""

    @property
    def elections(self) -> int:
        """Return how many new terms were seen since the first answer."""
        return self._elections.seen

    async def run(self, stop: asyncio.Event) -> None:
        """Ask all members, each at its own pace, until ``stop``."""
        async with asyncio.TaskGroup() as group:
            for member in self._clients:
                group.create_task(self._member(member, stop))

    async def _member(self, member: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.once(member)
            await slept(stop, EVERY_S)

    async def once(self, member: str) -> Status | None:
        """Ask one member now, and record what it says, or why it says nothing."""
        try:
            status = await self._clients[member].status(timeout_s=TIMEOUT_S)
        except CallError as error:
            self.newest[member] = None
            self._recorder.mark("status", member=member, error=str(error))
            return None
        self._names[status.member_id] = member
        self._elections.see(status.raft_term)
        self.newest[member] = status
        self._recorder.mark(
            "status",
            member=member,
            revision=status.revision,
            raft_term=status.raft_term,
            raft_index=status.raft_index,
            raft_applied_index=status.raft_applied_index,
            leader=self.name(status.leader),
            db_size=status.db_size,
        )
        return status

    def name(self, member_id: int) -> str:
        """Return the member's name for etcd's id: "" for 0 (none), the id in hexadecimal, as etcd writes it, until the member has answered."""
        return self._names.get(member_id, f"{member_id:x}")
