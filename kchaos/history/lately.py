"""What is on record of a member up to an instant: who bears witness with it where one member alone is found wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from kchaos.history.anomaly import Witness, seconds, words_of
from kchaos.history.collected import Life, Silence, Status, times_killed
from kchaos.history.operations import Operation, Outcome

Dated = TypeVar("Dated", Life, Silence, Status)


class Lately(NamedTuple):
    """The record by member; each method returns the last of its sort up to ``t``, seconds, as a witness, or None if there is none."""

    lives: Sequence[Life] = ()
    statuses: Sequence[Status] = ()
    silences: Sequence[Silence] = ()
    operations: Sequence[Operation] = ()

    def process(self, member: str, t: float) -> Witness | None:
        """Return what became of its process, and how often it was killed in all."""
        one = _last(self.lives, member, t)
        if one is None:
            return None
        return Witness(-1, None, f"{became(one)}, the last that is on record of its process by then; {times_killed(self.lives, member)}")

    def status(self, member: str, t: float) -> Witness | None:
        """Return its answer to a status request."""
        one = _last(self.statuses, member, t)
        return None if one is None else Witness(-1, None, f"{member} said at {seconds(one.t)} that it is at revision {one.revision}, {_led(one)}")

    def leader(self, member: str, t: float) -> Witness | None:
        """Return the answer in which it still knew a leader."""
        one = _last([one for one in self.statuses if one.leader], member, t)
        return None if one is None else Witness(-1, None, f"{member} last knew a leader at {seconds(one.t)}: it was {_led(one)}")

    def silence(self, member: str, t: float) -> Witness | None:
        """Return its failure to answer a status request."""
        one = _last(self.silences, member, t)
        return None if one is None else Witness(-1, None, f"{member} had no answer to a status request at {seconds(one.t)}: {one.error}")

    def answer(self, member: str, t: float) -> Witness | None:
        """Return its last answer to anything: to a client's call, or, if that came later, to a status request."""
        call, said = self._call(member, t), _last(self.statuses, member, t)
        if call is not None and (said is None or call[0] >= said.t):
            one = self.operations[call[1]]
            return Witness(call[1], one, f"the last answer of {member} by then: {words_of(one)}")
        return self.status(member, t)

    def answered(self, member: str, t: float) -> str:
        """Return in words when that was."""
        call, said = self._call(member, t), _last(self.statuses, member, t)
        times = [*([call[0]] if call is not None else []), *([said.t] if said is not None else [])]
        return f"its last answer on record came at {seconds(max(times))}" if times else "no answer of it is on record"

    def _call(self, member: str, t: float) -> tuple[float, int] | None:
        found = ((one.return_s, number) for number, one in enumerate(self.operations) if one.member == member and one.outcome == Outcome.OK and one.return_s <= t)
        return max(found, default=None)


def became(one: Life) -> str:
    """Return in words what was done to a process, or what it did."""
    return f"{one.member} {'was found to have exited' if one.event == 'exited' else f'was {one.event}'} at {seconds(one.t)}"


def _last(record: Iterable[Dated], member: str, t: float) -> Dated | None:
    return max((one for one in record if one.member == member and one.t <= t), key=_t, default=None)


def _t(one: Life | Silence | Status) -> float:
    return one.t


def _led(one: Status) -> str:
    return f"led by {one.leader} in term {one.raft_term}" if one.leader else f"without a leader in term {one.raft_term}"
