"""Recordings of a real node's network hold here, and a difference is noticed: none of the judges takes everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kchaos.commands import conform as command
from kchaos.models.conform.network.rules import difference
from kchaos.models.conform.network.stories import is_network, judge_network
from kchaos.models.network.autopath import along
from kchaos.models.network.dns import Answer, Record
from kchaos.models.network.message import fitted, room
from tests.support import ROOT

RECORDINGS = ROOT / "fixtures" / "network" / "recordings"
Story = dict[str, Any]


def _story(name: str) -> Story:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_recordings_hold(path: Path) -> None:
    story = _story(path.stem)
    facts = judge_network(story)
    assert [fact for fact in facts if not fact.holds] == []
    assert facts


def _endpoint_gone(story: Story) -> None:
    for step in story["steps"]:
        for one in step["objects"]:
            one["endpoints"] = None if one["kind"] == "EndpointSlice" else one.get("endpoints")


def _other_answer(story: Story) -> None:
    for probe in story.get("probes") or [probe for case in story["cases"] for probe in case["probes"]]:
        for result in probe["results"]:
            result["source"] = "192.0.2.99" if result["verdict"] == "answered" else ""


def _other_share(story: Story) -> None:
    for case in story["cases"]:
        if case["kind"] == "distribution":
            first = next(iter(case["answers"]))
            case["answers"] = {first: case["connections"]}
        else:
            case["back-to-back"][-1] = "p9z"


def _other_records(story: Story) -> None:
    for question in story["questions"]:
        question["reply"]["answer"].append("www.example.com. 5 A 203.0.113.99")


def _other_entries(story: Story) -> None:
    for state in story["state"].values():
        state["neigh"] = []


def _other_ping(story: Story) -> None:
    for ping in story["pings"]:
        ping["result"] = {"ok": not ping["result"]["ok"], "error": "no answer"}


def _flow_kept(story: Story) -> None:
    story["steps"][-1]["conntrack"] = story["steps"][0]["conntrack"]


@pytest.mark.parametrize(
    ("name", "change", "sort"),
    [
        ("rules", _endpoint_gone, "rules"), ("conntrack", _flow_kept, "conntrack"), ("scene-hostgw", _other_answer, "verdict"),
        ("faults", _other_answer, "verdict"), ("distribution", _other_share, "distribution"), ("distribution", _other_share, "affinity"),
        ("dns-slices", _other_records, "dns"), ("dns-big", _other_records, "dns"), ("overlay", _other_entries, "entries"),
        ("overlay", _other_ping, "ping"),
    ],
)  # fmt: skip
def test_a_difference_is_noticed(name: str, change: Callable[[Story], None], sort: str) -> None:
    story = _story(name)
    before = sum(not fact.holds for fact in judge_network(story))
    change(story)
    wrong = [fact for fact in judge_network(story) if not fact.holds and fact.sort == sort]
    assert before == 0
    assert wrong


def test_the_order_of_services_does_not_count_but_that_of_node_ports_does() -> None:
    services = ["-d 10.96.0.1/32 -j A", "-d 10.96.0.2/32 -j B", "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]
    ports = ["-d 127.0.0.0/8 -p tcp --dport 30000 -m nfacct x -j E", "-p tcp --dport 30000 -j E"]

    def rules(services: list[str], ports: list[str]) -> dict[str, dict[str, list[str]]]:
        return {"nat": {"KUBE-SERVICES": services, "KUBE-NODEPORTS": ports}}

    want = rules(services, ports)
    assert difference(want, rules([services[1], services[0], services[2]], ports)) == ""
    assert "not last" in difference(want, rules([services[2], *services[:2]], ports))
    assert "too late" in difference(want, rules(services, ports[::-1]))
    assert "missing" in difference(want, {"nat": {"KUBE-SERVICES": services}})


def test_the_command_judges_recordings_of_both_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    paths = (str(RECORDINGS / "dns-slices.json"), str(ROOT / "fixtures" / "recordings" / "rs-adopt-1-for-1.json"))
    assert command.conform(paths, True, False) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["groups"]) == ["dns", "replicaset"]
    assert found["facts"]["held"] == found["facts"]["of"] == sum(one["of"] for one in found["stories"])


def test_a_recording_that_fails_counts_in_full(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    story = _story("faults")
    probes = sum(len(case["probes"]) for case in story["cases"])
    del story["topology"]["pods"]
    (tmp_path / "broken.json").write_text(json.dumps(story), encoding="utf-8")
    assert command.conform((str(tmp_path),), True, False) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["facts"], found["not_executed"]) == ({"held": 0, "of": probes}, ["faults"])


def test_what_is_no_recording() -> None:
    assert not is_network({"group": "overlay", "facts": []})
    assert not is_network({"group": "deployment", "story": "x", "steps": []})


# -- what came in for the recordings -----------------------------------------------------------------------------------


def _many(count: int) -> Answer:
    return Answer("NOERROR", tuple(Record("db.shop.svc.cluster.local.", 5, "A", f"10.244.0.{i}") for i in range(count)))


def test_a_reply_that_is_too_long_is_cut_and_says_so() -> None:
    """28 addresses fit 512 bytes: 12 + 31 of the question, 16 for each."""
    name = "db.shop.svc.cluster.local."
    assert fitted(name, _many(28), room("udp")).truncated is False
    cut = fitted(name, _many(40), room("udp"))
    assert (cut.truncated, len(cut.answer.answer)) == (True, 29)
    assert len(fitted(name, _many(40), room("udp", 512), edns=True).answer.answer) == 28
    assert fitted(name, _many(40), room("tcp")).truncated is False
    assert fitted(name, _many(40), room("udp", 100)).truncated is True, "less than 512 bytes counts as 512"


def test_autopath_answers_the_first_question() -> None:
    known = {"db.svc.cluster.local.": "10.96.0.7"}

    def ask(name: str, kind: str) -> Answer:
        return Answer("NOERROR", (Record(name, 5, kind, known[name]),)) if name in known else Answer("NXDOMAIN")

    search = ("shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local.")
    found = along(ask, search, "db.shop.svc.cluster.local.", "A")
    assert [one.text for one in found.answer] == [
        "db.shop.svc.cluster.local. 5 CNAME db.svc.cluster.local.", "db.svc.cluster.local. 5 A 10.96.0.7",
    ]  # fmt: skip
    assert along(ask, search, "db.svc.cluster.local.", "A").answer[0].type == "A"
    assert along(ask, search, "db.shop.svc.cluster.local.", "SRV").rcode == "NXDOMAIN"
