"""Quantiles by nearest rank, and none that the number of examples does not support."""

from __future__ import annotations

import msgspec
import pytest

from kchaos.engine.recovery import Recovery
from kchaos.engine.result import Result, WorkloadResult
from kchaos.reports.html import html
from kchaos.reports.recovery import quantile, rows
from tests.reports.hostile import result


@pytest.mark.parametrize(
    ("n", "p50", "p90", "p99"),
    [(1, None, None, None), (4, None, None, None), (5, 3, None, None), (10, 5, 9, None), (99, 50, 90, None), (100, 50, 90, 99)],
)
def test_quantiles(n: int, p50: float | None, p90: float | None, p99: float | None) -> None:
    """Of 1 s … n s."""
    times = [(float(value), 1) for value in range(1, n + 1)]
    assert [quantile(times, share) for share in (0.5, 0.9, 0.99)] == [p50, p90, p99]


def test_equal_times_are_counted() -> None:
    """Nine of five seconds and one of a minute: the tenth is beyond p90."""
    assert quantile([(60.0, 1), (5.0, 9)], 0.9) == 5.0


def with_recovery(**recovery: Recovery) -> Result:
    """Return a result of one workload."""
    own = {name.replace("_", "-"): one for name, one in recovery.items()}
    return msgspec.structs.replace(
        result(("a",)), workloads=(WorkloadResult(workload="Deployment/default/web", replicas=3, ready=3, recovery=own),)
    )


def test_few_are_all_shown() -> None:
    """With two times no quantile, but both times; what has no time is said, and comes first."""
    found = rows(with_recovery(pod_kill=Recovery(times=((5.0, 1), (7.0, 1))), drain=Recovery(healed=2, never=1)))
    assert [(one.sort, one.n) for one in found] == [("drain", 3), ("crash", 2)]
    assert found[0].rest == "2 only after the fault was undone; 1 not even after it" and found[0].most == "-"
    assert found[1].quantiles == ["-", "-", "-"] and found[1].values == "5 s, 7 s" and found[1].most == "7 s"


def test_times_that_read_alike_are_one() -> None:
    """5.0 s and 5.1 s are 5 s to a person."""
    (found,) = rows(with_recovery(pod_kill=Recovery(times=((5.0, 1), (5.1, 2), (7.0, 1)))))
    assert found.values == "3 × 5 s, 7 s"


def test_faults_of_one_sort_come_together() -> None:
    """A lost node is lost, by power or by a frozen machine; with ten times the list of them is left out."""
    (one,) = rows(with_recovery(node_power_loss=Recovery(times=((353.0, 6),)), node_pause=Recovery(times=((400.0, 4),))))
    assert (one.sort, one.n, one.quantiles, one.values, one.most) == ("node lost", 10, ["353 s", "400 s", "-"], "", "400 s")


def test_the_page_has_them() -> None:
    """With n."""
    assert "Recovery times" in html(with_recovery(pod_kill=Recovery(times=((5.0, 1),))))
    assert "Recovery times" not in html(with_recovery())
