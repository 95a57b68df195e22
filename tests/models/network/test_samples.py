"""Small samples of what kube-proxy and CoreDNS really wrote and answered (recorded with Kubernetes 1.34, CoreDNS 1.12)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kchaos.models.network.compiler import Options, compile_rules
from kchaos.models.network.dns import Answer, Server, ask
from kchaos.models.network.records import zone_of
from kchaos.models.network.rules import parse, written
from tests.support import ROOT

STORIES = json.loads((ROOT / "fixtures" / "network" / "rules.json").read_text(encoding="utf-8"))
DNS = json.loads((ROOT / "fixtures" / "network" / "dns.json").read_text(encoding="utf-8"))
UNORDERED = {"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story["story"])
def test_rules_are_kube_proxys(story: dict[str, Any]) -> None:
    services = [one for one in story["objects"] if one["kind"] == "Service"]
    slices = [one for one in story["objects"] if one["kind"] == "EndpointSlice"]
    got = written(compile_rules(services, slices, Options("n1", ("192.0.2.11",), "z1")))
    for table, chains in story["chains"].items():
        ours = {chain: rules for chain, rules in got[table].items() if chain.startswith("KUBE-")}
        assert set(ours) == set(chains)
        for chain, rules in chains.items():
            if chain in UNORDERED:
                assert sorted(ours[chain]) == sorted(rules)
            else:
                assert ours[chain] == rules


def test_a_line_reads_back_as_it_was() -> None:
    for story in STORIES:
        for chains in story["chains"].values():
            for rules in chains.values():
                assert [parse(line).render() for line in rules] == rules


@pytest.mark.parametrize("question", DNS["questions"], ids=lambda one: f"{one['name']} {one['type']}")
def test_answers_are_corednss(question: dict[str, Any]) -> None:
    zone = zone_of(DNS["objects"], DNS["namespaces"])
    found = ask(Server(), zone, question["name"], question["type"], lambda name, kind: Answer("REFUSED"))
    assert found.rcode == question["rcode"]
    for section in ("answer", "authority", "additional"):
        assert sorted(one.text for one in getattr(found, section)) == sorted(question[section])
