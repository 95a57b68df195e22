"""What the marks of a run of real etcd say, sorted by what they are about: the only thing that its checkers look at (docs/etcd-run.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from kchaos.history.events import Event, Log, events_of, log_of
from kchaos.history.operations import OP, Operation, operation_of
from kchaos.history.record import Mark


class Response(NamedTuple):
    """One message to a watcher: events, or (none) the notification that all up to ``revision`` were told."""

    t: float
    revision: int
    events: tuple[Event, ...]


@dataclass(slots=True)
class Stretch:
    """One watch request and what came of it; a watcher that resumes has several, one after the other."""

    watcher: str
    member: str
    prefix: str
    from_revision: int
    """0: from its creation on."""
    asked_s: float
    single: bool = False
    """Whether ``prefix`` is the one key that is watched."""
    created_revision: int | None = None
    responses: list[Response] = field(default_factory=list)
    compact_revision: int = 0

    @property
    def begins(self) -> int | None:
        """Return the first revision that it must be told of; None: that is not known, it was never confirmed."""
        if self.from_revision:
            return self.from_revision
        return self.created_revision + 1 if self.created_revision is not None else None

    def wants(self, key: str) -> bool:
        """Tell whether it must be told of a key."""
        return key == self.prefix if self.single else key.startswith(self.prefix)


class Hash(NamedTuple):
    """A member's HashKV answer."""

    t: float
    member: str
    revision: int
    hash: int | str
    compact_revision: int


class Status(NamedTuple):
    """A member's answer to a status request; ``leader``: the name of whom it follows, empty if it knows none."""

    t: float
    member: str
    revision: int
    raft_term: int = 0
    leader: int | str = ""


class Silence(NamedTuple):
    """A status request that a member did not answer."""

    t: float
    member: str
    error: str


class Final(NamedTuple):
    """A member at the end."""

    t: float
    member: str
    reachable: bool
    leader: int | str
    raft_term: int
    revision: int


class Life(NamedTuple):
    """Something that was done to a member's process, or that it did."""

    t: float
    member: str
    event: str


class Late(NamedTuple):
    """A watcher that was not told of all up to a revision within the time that it was given, although all faults were healed."""

    t: float
    watcher: str
    revision: int


class Unread(NamedTuple):
    """What a reachable member would not tell at the end: its hash or its log."""

    member: str
    what: str
    error: str


class Panic(NamedTuple):
    """A line of a member's log that tells of a panic or a fatal error."""

    t: float
    member: str
    line: str


class Collected:
    """Fills as marks come. A mark that holds nothing of the sort that it says raises msgspec.ValidationError or KeyError."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.stretches: list[Stretch] = []
        self.hashes: list[Hash] = []
        self.statuses: list[Status] = []
        self.silences: list[Silence] = []
        self.finals: list[Final] = []
        self.lives: list[Life] = []
        self.panics: list[Panic] = []
        self.late: list[Late] = []
        self.unread: list[Unread] = []
        self.phases: list[tuple[float, str]] = []
        self.members: dict[str, None] = {}
        """In the order in which they were first told of."""
        self._current: dict[str, Stretch] = {}
        self._parts: dict[str, list[tuple[int, int, list[Event]]]] = {}
        self._same: dict[str, str] = {}

    def handlers(self) -> Mapping[str, Callable[[Mark], None]]:
        """Return what takes each sort of mark."""
        return {
            OP: self._op, "watch": self._watch, "watch-created": self._created, "watched": self._watched, "progress": self._progress,
            "watch-ended": self._ended, "status": self._status, "hash": self._hash, "log": self._log, "final": self._final, "member": self._member,
            "panic": self._panic, "phase": self._phase, "watch-late": self._late, "unread": self._unread,
        }  # fmt: skip

    def _op(self, mark: Mark) -> None:
        self.operations.append(operation_of(mark))

    def _phase(self, mark: Mark) -> None:
        self.phases.append((mark.t, mark.data["name"]))

    def _watch(self, mark: Mark) -> None:
        data = mark.data
        stretch = Stretch(str(data["watcher"]), data["member"], data["prefix"], _number(data["from_revision"]), mark.t, bool(data.get("single")))
        self._current[stretch.watcher] = stretch
        self.stretches.append(stretch)

    def _created(self, mark: Mark) -> None:
        self._of(mark).created_revision = _number(mark.data["revision"])

    def _watched(self, mark: Mark) -> None:
        events = tuple(events_of(mark.data["events"]))
        self._of(mark).responses.append(Response(mark.t, _number(mark.data["revision"]), events))

    def _progress(self, mark: Mark) -> None:
        self._of(mark).responses.append(Response(mark.t, _number(mark.data["revision"]), ()))

    def _ended(self, mark: Mark) -> None:
        self._of(mark).compact_revision = _number(mark.data.get("compact_revision", 0))

    def _of(self, mark: Mark) -> Stretch:
        watcher = str(mark.data["watcher"])
        if watcher not in self._current:
            raise msgspec.ValidationError(f"watcher {watcher} was told of something before it had asked")
        return self._current[watcher]

    def _status(self, mark: Mark) -> None:
        self.members.setdefault(mark.data["member"])
        data = mark.data
        if "error" in data:
            self.silences.append(Silence(mark.t, data["member"], str(data["error"])))
        else:
            self.statuses.append(Status(mark.t, data["member"], _number(data["revision"]), data.get("raft_term", 0), data.get("leader", "")))

    def _hash(self, mark: Mark) -> None:
        data = mark.data
        if "hash" in data:
            self.hashes.append(Hash(mark.t, data["member"], _number(data["revision"]), data["hash"], _number(data["compact_revision"])))

    def _log(self, mark: Mark) -> None:
        data = mark.data
        if "same_as" in data:
            self._same[data["member"]] = data["same_as"]
        elif "events" in data:
            part = (_number(data["from_revision"]), _number(data["revision"]), events_of(data["events"]))
            self._parts.setdefault(data["member"], []).append(part)

    def _final(self, mark: Mark) -> None:
        data = mark.data
        self.members.setdefault(data["member"])
        self.finals.append(
            Final(mark.t, data["member"], bool(data.get("reachable", True)), data.get("leader", 0), data.get("raft_term", 0), data.get("revision", 0))
        )

    def _member(self, mark: Mark) -> None:
        self.members.setdefault(mark.data["member"])
        self.lives.append(Life(mark.t, mark.data["member"], mark.data["event"]))

    def _panic(self, mark: Mark) -> None:
        self.panics.append(Panic(mark.t, mark.data["member"], str(mark.data["line"])))

    def _late(self, mark: Mark) -> None:
        self.late.append(Late(mark.t, str(mark.data["watcher"]), _number(mark.data["revision"])))

    def _unread(self, mark: Mark) -> None:
        self.unread.append(Unread(mark.data["member"], mark.data["unread"], str(mark.data["error"])))

    def logs(self) -> dict[str, Log]:
        """Return each member's whole history, of those that told it."""
        out = {
            member: log_of(member, (event for _, _, events in parts for event in events), min(p[0] for p in parts), max(p[1] for p in parts))
            for member, parts in self._parts.items()
        }  # fmt: skip
        for member, other in self._same.items():
            if other in out:
                out[member] = out[other]._replace(member=member)
        return out


def agreed(logs: Mapping[str, Log]) -> Log | None:
    """Return the log that most members tell, the longest of those; None if nobody tells one."""
    groups: list[list[Log]] = []
    for log in logs.values():
        same = next((group for group in groups if group[0].revisions is log.revisions or group[0][1:] == log[1:]), None)
        if same is None:
            groups.append([log])
        else:
            same.append(log)
    return max(groups, key=lambda group: (len(group), group[0].last), default=[None])[0]


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise msgspec.ValidationError(f"{value!r} is no revision")
    return value


def killed_after(lives: Sequence[Life], member: str, since_s: float) -> str:
    """Return in words how soon after a moment a member's process was killed: what was acknowledged just before is what a kill can lose."""
    kills = [one for one in lives if one.member == member and one.event == "killed"]
    first = next((one.t for one in kills if one.t >= since_s), None)
    if first is None:
        return times_killed(lives, member)
    return f"{member} was killed {first - since_s:.3f} s later" + (f" ({len(kills)} times in all)" if len(kills) > 1 else "")


def times_killed(lives: Sequence[Life], member: str) -> str:
    """Return in words how often a member's process was killed."""
    kills = [one for one in lives if one.member == member and one.event == "killed"]
    if not kills:
        return f"{member} was never killed"
    return f"{member} was killed {len(kills)} time{'s' if len(kills) > 1 else ''}, last at {kills[-1].t:.3f} s"
