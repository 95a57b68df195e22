"""Which Events are written, counted up, combined or dropped."""

from __future__ import annotations

from kchaos.models.client.recorder import COMBINED, Correlator


def test_counted_up() -> None:
    """The same text a second time is no new Event."""
    one = Correlator()
    assert one.record("c", "u", "Normal", "Made", "x", 0.0) == "x"
    assert one.record("c", "u", "Normal", "Made", "x", 1.0) is None
    assert one.record("c", "other", "Normal", "Made", "x", 1.0) == "x"


def test_combined() -> None:
    """The tenth text of one reason within ten minutes is the last Event; a later burst starts anew."""
    one = Correlator()
    told = [one.record("c", "u", "Normal", "Made", f"pod {i}", float(i)) for i in range(12)]
    assert told[:9] == [f"pod {i}" for i in range(9)]
    assert told[9:] == [COMBINED + "pod 9", None, None]
    assert one.record("c", "u", "Normal", "Made", "later", 700.0) == "later"


def test_dropped() -> None:
    """One source tells at most 25 Events about one object at once, and one more in five minutes."""
    one = Correlator()
    told = [one.record("c", "u", "Normal", f"Reason{i}", "x", 0.0) for i in range(30)]
    assert [bool(text) for text in told] == [True] * 25 + [False] * 5
    assert one.record("c", "u", "Normal", "Later", "x", 301.0) == "x"


def test_series() -> None:
    """The scheduler's Events are told by what happened: another message makes no new one."""
    one = Correlator()
    assert one.record("kube-scheduler", "u", "Warning", "FailedScheduling", "0/3", 0.0) == "0/3"
    assert one.record("kube-scheduler", "u", "Warning", "FailedScheduling", "0/2", 1.0) is None
    assert one.record("kube-scheduler", "u", "Normal", "Scheduled", "on a", 2.0) == "on a"
