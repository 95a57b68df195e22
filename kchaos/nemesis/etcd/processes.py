"""Faults of the members' processes: SIGKILL and restart, SIGSTOP and SIGCONT, rolling restarts, a power loss of all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kchaos.errors import HarnessError
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.etcd.target import Target
from kchaos.nemesis.etcd.traces import Traces
from kchaos.nemesis.fault import Active, Evidence, Kind, Once
from kchaos.real.cluster import MemberExited
from kchaos.real.logs import disturbed


# Faults may overlap on a member: what is down already is not killed again, and only what is down is started.
def _kill(target: Target, member: str) -> bool:
    if target.cluster.state(member) == "exited":
        if member not in target.down:  # nobody has killed it
            if told := disturbed(target.cluster, member):
                raise HarnessError(told)
            target.mark("member", member=member, event="exited")
            target.down.add(member)
        return False
    target.down.add(member)
    target.cluster.kill(member)
    target.mark("member", member=member, event="killed")
    return True


def _restart(target: Target, member: str) -> None:
    if target.cluster.state(member) != "exited":
        return
    try:
        target.cluster.restart(member)
    except MemberExited:  # what it did wrong is in its log, which is judged; it stays down
        target.mark("member", member=member, event="exited")
        return
    target.down.discard(member)
    target.mark("member", member=member, event="restarted")


class _Killed:
    """Members that are killed now, and started again when that is undone."""

    def __init__(self, target: Target, members: Sequence[str]) -> None:
        self._target = target
        self._traces = Traces(target, victims=members)
        self._began = time.monotonic()
        self._down_s = 0.0
        self._up = False
        self._members = [member for member in members if _kill(target, member)]

    def undo(self) -> None:
        """Start them again. Nobody waits until they serve: another fault may keep them from it, and is undone only after this one."""
        if self._up:
            return
        self._up = True
        for member in self._members:
            _restart(self._target, member)
        self._down_s = time.monotonic() - self._began
        self._traces.close()

    def evidence(self) -> Evidence:
        """Return how many were killed, and for how long they were away."""
        down_s = self._down_s if self._up else time.monotonic() - self._began
        return {"kills": len(self._members), "down_s": round(down_s, 2) if self._members else 0.0, **self._traces.so_far()}


class _Paused:
    """A member that is stopped and goes on where it was: to its peers it is silent, and it does not know."""

    def __init__(self, target: Target, member: str) -> None:
        self._target = target
        self._member = member
        self._traces = Traces(target, victims=(member,))
        self._began = time.monotonic()
        self._paused_s = 0.0
        self._silent = target.cluster.state(member) == "running"
        if self._silent:
            target.cluster.pause(member)
            target.mark("member", member=member, event="paused")

    def undo(self) -> None:
        """Let it go on."""
        if self._paused_s:
            return
        if self._silent and self._target.cluster.state(self._member) == "paused":
            self._target.cluster.resume(self._member)
            self._target.mark("member", member=self._member, event="resumed")
        self._paused_s = time.monotonic() - self._began
        self._traces.close()

    def evidence(self) -> Evidence:
        """Return for how long it was silent."""
        paused_s = (self._paused_s or time.monotonic() - self._began) if self._silent else 0.0
        return {"paused_s": round(paused_s, 2), **self._traces.so_far()}


def _kill_one(target: Target, args: dict[str, Any]) -> Active:
    return _Killed(target, (args["target"],))


def _kill_all(target: Target, _args: dict[str, Any]) -> Active:
    return _Killed(target, target.cluster.members)


def _rolling(target: Target, _args: dict[str, Any]) -> Active:
    """Restart one after the other; the next is killed when the one before serves again, as an upgrade does."""
    return _again_and_again(target, target.cluster.members, 0.0)


def _loop(target: Target, args: dict[str, Any]) -> Active:
    """Kill one member again and again, each time as soon as it has served for a moment."""
    return _again_and_again(target, (args["target"],) * args["times"], args["serving_ms"] / 1000)


def _again_and_again(target: Target, members: Sequence[str], serving_s: float) -> Active:
    """Kill and start members in this order, each when the one before serves; end early if one does not come to serve."""
    traces = Traces(target)
    kills, away_s = 0, 0.0
    for member in members:
        kills += _kill(target, member)
        _restart(target, member)
        took_s = target.await_serving(member)
        if took_s is None or target.ended.wait(serving_s):
            break
        away_s += took_s
    return Once({"kills": kills, "down_s": round(away_s, 2), **traces.close()})


_EVIDENCE = "kills, seconds away, terms, leaders"
KINDS: tuple[Kind[Target], ...] = (
    Kind(name="kill", summary="a member is killed (SIGKILL), and started again with its data", klass="process", target="member",
         inject=_kill_one, evidence=_EVIDENCE),
    Kind(name="kill-all", summary="all members are killed at once, as by a loss of power that spares the disks' caches, and started again",
         klass="process", target="cluster", inject=_kill_all, evidence=_EVIDENCE),
    Kind(name="rolling-restart", summary="all members are killed and started again, one after the other", klass="process", target="cluster",
         inject=_rolling, evidence=_EVIDENCE),
    Kind(name="kill-loop", summary="a member is killed again and again, as soon as it serves", klass="process", target="member",
         arguments=(Argument("times", 10, 1, 100_000, whole=True, usual=(5, 20)), Argument("serving_ms", 100, 0, 60_000, whole=True, usual=(0, 500))),
         inject=_loop, evidence=_EVIDENCE),
    Kind(name="pause", summary="a member is stopped (SIGSTOP), and goes on later where it was (SIGCONT)", klass="process", target="member",
         inject=lambda target, args: _Paused(target, args["target"]), evidence="seconds of silence, terms, leaders"),
)  # fmt: skip
