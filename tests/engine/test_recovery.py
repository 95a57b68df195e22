"""Recovery times: from the first pod that does not answer until all do again, by workload and fault."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.engine.measure import Back, measure
from kchaos.engine.merge import merge
from kchaos.engine.recovery import Recovery, together
from kchaos.engine.result import Result
from kchaos.engine.shard import Shard
from kchaos.history.record import Header, Mark, Run
from tests.support import GUESTBOOK, ask

WEB = "Deployment/default/web"


def run(*marks: tuple[float, str, Any]) -> Run:
    """Return a run of phases (a name) and counts of pods that answer (a number)."""
    entries = [
        Mark(t, "phase", {"name": value}) if what == "phase" else Mark(t, "members", {"workload": WEB, "serving": value, "ready": value})
        for t, what, value in marks
    ]
    return Run(Header(), list(entries), "")


BEGIN = ((0.0, "phase", "boot"), (1.0, "pods", 3), (5.0, "phase", "chaos"))


@pytest.mark.parametrize(
    ("marks", "back"),
    [
        ([(6.0, "pods", 2), (9.0, "pods", 3)], Back(3.0, "chaos")),
        ([(6.0, "pods", 2), (7.0, "pods", 1), (16.0, "pods", 4)], Back(10.0, "chaos")),
        ([(6.0, "pods", 2), (7.0, "pods", 3), (8.0, "pods", 0), (18.0, "pods", 3)], Back(10.0, "chaos")),
        ([(6.0, "pods", 2), (9.0, "phase", "heal"), (11.0, "pods", 3)], Back(5.0, "healed")),
        ([(6.0, "pods", 2), (9.0, "phase", "final")], Back(3.0, "never")),
        ([(6.0, "pods", 4), (9.0, "pods", 3)], None),
    ],
)
def test_how_long_pods_were_missing(marks: list[tuple[float, str, Any]], back: Back | None) -> None:
    """The longest time with fewer than when chaos began; more are not fewer."""
    assert measure(run(*BEGIN, *marks), {}).back.get(WEB) == back


def test_an_outage_is_none_but_of_all() -> None:
    """Fewer pods are no outage; nobody is."""
    found = measure(run(*BEGIN, (6.0, "pods", 1), (8.0, "pods", 0), (10.0, "pods", 1), (20.0, "pods", 3)), {})
    assert found.outage_s == {WEB: 2.0} and found.back == {WEB: Back(14.0, "chaos")}


def test_counts_add_up() -> None:
    """Of equal times the examples are counted."""
    one = Recovery(times=((5.0, 2), (7.0, 1)), healed=1)
    other = Recovery(times=((3.0, 1), (5.0, 1)), never=2)
    assert together([one, other]) == Recovery(times=((3.0, 1), (5.0, 3), (7.0, 1)), healed=1, never=2)
    assert together([one, other]).n == 8 and together([]).n == 0


def test_an_application() -> None:
    """A lost pod is back after its start; resizing is no loss; the shards of a run have together what it has."""
    options: dict[str, Any] = {"faults": "pod-kill,scale-down,node-power-loss"}

    def tables(result: Result) -> dict[str, dict[str, Recovery]]:
        return {one.workload: one.recovery for one in result.workloads}

    whole = tables(ask([GUESTBOOK], budget="20", **options).result)
    master = whole["Deployment/default/redis-master"]
    assert set(master) <= {"pod-kill", "node-power-loss"}
    assert all(4.5 <= seconds <= 7 for seconds, _ in master["pod-kill"].times)
    assert all(300 <= seconds <= 400 for seconds, _ in master["node-power-loss"].times)
    level1 = ask([GUESTBOOK], budget="10", **options).result
    halves = [ask([GUESTBOOK], budget="10", shard=Shard(n, 2), **options).result for n in (1, 2)]
    assert tables(merge(halves)) == tables(level1)
