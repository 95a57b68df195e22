"""A run of real etcd in a terminal: the verdict first, the witnesses, what was not tested, and where everything is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kchaos.check.verdict import Verdict
from kchaos.engine.etcd.result import EtcdResult
from kchaos.reports.etcd.terminal import show
from tests.reports.etcdrun import etcd_result
from tests.reports.hostile import NASTY


def shown(result: EtcdResult, width: int = 100, quiet: bool = False) -> str:
    out = io.StringIO()
    show(result, Console(file=out, width=width, force_terminal=False, color_system=None), "out/report.html", quiet)
    return out.getvalue()


def test_a_failure_is_told_with_its_witnesses() -> None:
    text = shown(etcd_result(Verdict.FAIL))
    lines = text.splitlines()
    assert lines[0] == "FAIL: acknowledged-writes-last does not hold: k7 = 42 was acknowledged at revision 815, and a read begun 3.3 s later saw revision 812"
    for said in (
        "error   KC500 acknowledged-writes-last: k7 = 42 was", "  4. process 6 read k7", "seen 3 times",
        "faults around it: latency m3 at 7.5 s (inert); kill m1 at 10.5 s",
        "https://etcd.io/docs", "Report: out/report.html", "Run:    out/etcd.run.jsonl  (kchaos etcd check judges it again)",
    ):  # fmt: skip
        assert said in text, said


def test_a_pass_says_what_bit_and_what_was_never_tried() -> None:
    text = shown(etcd_result(Verdict.PASS))
    for said in (
        "PASS: linearizable, durable, as far as it was asked: 3,000 operations, 6 faults bit", "2,910 ok, 30 failed, 60 unknown",
        "Faults that bit: isolate, pause ×2, kill, partition-halves, one-way-from", "such as pause m2: terms 1, applied lag 20",
        "Without effect, so nothing is claimed of them: latency, isolate", "Not injected: isolate (nobody leads now)",
        "Never exercised: reset, slow-close (--faults NAME or a larger --budget does)", "remark: throughput was low",
        "Not exercised, so nothing is claimed: watch-complete",
        "Not modelled: disk faults; leases", "etcd 3.5.1, toxiproxy 2.12.0", "seed 1",
    ):  # fmt: skip
        assert said in text, said


def test_unknown_says_why() -> None:
    text = shown(etcd_result(Verdict.UNKNOWN, reasons=("few operations: 12", "no fault bit")))
    assert text.count("few operations: 12") == 1 and "  no fault bit" in text and text.startswith("UNKNOWN: few operations: 12; 3,000 operations")


def test_quiet_is_the_verdict_alone() -> None:
    assert len(shown(etcd_result(Verdict.FAIL), quiet=True).splitlines()) == 1


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_names_can_not_steer_the_terminal(name: str, verdict: Verdict) -> None:
    """No control character gets through, and what looks like markup is text."""
    text = shown(etcd_result(verdict, name))
    assert not [one for one in text if (ord(one) < 32 and one not in "\n") or 127 <= ord(one) < 160]
    if name == "[bold red]x[/]":
        assert text.count(name) >= 3


def test_long_lists_are_cut() -> None:
    text = shown(etcd_result(Verdict.FAIL, findings=30))
    assert "… 20 more: see the report, or --json" in text and "(and 29 more findings)" in text
