"""Symbolic targets mean what is true when the fault fires, and are checked as far as that can be known before."""

from __future__ import annotations

import functools

import msgspec
import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.machines import of_numbers
from kchaos.engine.scenarios import scope_of
from kchaos.engine.settings import Settings
from kchaos.engine.story import story
from kchaos.engine.system import build, inputs_of
from kchaos.errors import InvalidScenario
from kchaos.history.record import CORRUPTION
from kchaos.models.cluster import Cluster
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.symbols import SYMBOLS, actor_of, check, resolve, words_for
from kchaos.nemesis.targets import Resolved
from kchaos.scenario import At, Scenario, Step
from tests.drawn import TEXT
from tests.support import loaded

API, STORE = "Deployment/default/api", "StatefulSet/default/store"


@functools.cache
def booted(masters: int = 3) -> tuple[System, Boot]:
    objects = [one.obj for one in loaded(TEXT).manifests]
    topology = msgspec.structs.replace(of_numbers(6, 3, objects).topology, masters=masters)
    system = build(msgspec.to_builtins(topology), inputs_of(objects, [], Settings(), "1.34"))
    return system, boot(system)


def outcome(*steps: Step, masters: int = 3) -> Outcome:
    system, image = booted(masters)
    return run(system, image, Scenario(steps=steps))


def step(do: str, target: str, at_s: float = 0.0, **args: object) -> Step:
    return Step(do=do, args={"target": target, **args}, when=At(at_s), for_s=30.0)


@pytest.mark.parametrize(
    ("do", "target", "names"),
    [
        ("apiserver-crash", "leader(kube-scheduler)", ["master-0"]),
        ("apiserver-crash", "controller(deployment)", ["master-0"]),
        ("apiserver-crash", "minority()", ["master-2"]),
        ("apiserver-crash", "majority()", ["master-0", "master-1"]),
        ("apiserver-crash", "server-of(node-2)", ["master-1"]),
        ("apiserver-crash", "server-of(kube-scheduler)", ["master-0"]),
        ("apiserver-crash", "server-of(user)", ["master-0"]),
        ("leader-crash", "leader(kube-scheduler)", ["kube-scheduler"]),
        ("leader-crash", "controller(statefulset)", ["kube-controller-manager"]),
        ("request-refused", "controller(statefulset)", ["statefulset-controller"]),
        ("node-pause", "zone(b)", ["node-2", "node-5"]),
        ("node-pause", "minority()", ["node-5", "node-6"]),
        ("zone-power-loss", "zone(zone-b)", ["zone-b"]),
        ("pod-kill", "owner(store)", [STORE]),
        ("pod-kill", "owner(default/api)", ["Deployment/default/api"]),
        ("pod-kill", "pod-of(StatefulSet/default/store, 2)", ["Pod/default/store-1"]),
        ("rollout", "owner(Pod/default/store-0)", [STORE]),
    ],
)
def test_what_it_is(do: str, target: str, names: list[str]) -> None:
    (line,) = outcome(step(do, target)).steps
    assert line.get("targets", [target]) == names
    assert line["args"]["target"] == target


def test_the_node_of_a_pod_is_where_it_is_when_the_fault_fires() -> None:
    """The second fault hits the node to which the pod has gone after the first."""
    found = outcome(step("drain", f"node-of({STORE})"), step("node-pause", "node-of(Pod/default/store-0)", 200.0))
    (first,), (second,) = (line["targets"] for line in found.steps)
    assert first.startswith("node-") and second.startswith("node-")
    told = "\n".join(story(found.run))
    assert f"drain of {first} (the node of store-0)" in told


def test_a_node_that_does_not_exist_is_no_target() -> None:
    """A corrupted pod may name one."""
    system, image = booted()
    cluster = Cluster(system.topology, image=image.image)
    store, kind = cluster.control.store, catalog().get("drain")
    for key, pod in list(store.table("pods").items()):
        store.put("pods", key, {**pod, "spec": {**pod["spec"], "nodeName": "node-99"}}, CORRUPTION)
    assert resolve(cluster, kind, "node", f"node-of({STORE})") == Resolved((), f"no pod of {STORE} is on a node now")
    assert resolve(cluster, kind, "node", "any-node(1)") == Resolved((), "no node has pods now")
    cluster.close()


def test_a_zone_is_found_by_a_pod() -> None:
    (line,) = outcome(step("zone-power-loss", f"node-of({STORE})")).steps
    assert line["targets"][0].startswith("zone-")


def test_any_node_counts_on_from_the_first() -> None:
    found = outcome(step("node-pause", "any-node(1)"), step("drain", "any-node(1000)", 300.0))
    assert all(line["targets"][0].startswith("node-") for line in found.steps)


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        (None, ("apiserver-crash", "minority()"), "1 master has no minority"),
        ("kube-scheduler", ("apiserver-crash", "leader(kube-scheduler)"), "nobody leads kube-scheduler now"),
        ("kube-controller-manager", ("apiserver-crash", "server-of(kube-controller-manager)"), "nobody leads kube-controller-manager now"),
        (None, ("rollout", "owner(Pod/default/gone)"), "Pod/default/gone is gone"),
        (None, ("pod-kill", "pod-of(Pod/default/gone)"), "Pod/default/gone has no pod now"),
    ],
)
def test_what_means_nothing_now_is_inert_with_a_reason(first: str | None, then: tuple[str, str], why: str) -> None:
    """Never a crash; the story says why nothing happened."""
    steps = [step("leader-crash", first)] if first else []
    found = outcome(*steps, step(*then, 1.0), masters=1)
    line = found.steps[-1]
    assert (line["status"], line["why"]) == ("inert", why)
    assert f"does nothing: {why}" in "\n".join(story(found.run))


@pytest.mark.parametrize(
    ("do", "target", "says"),
    [
        ("drain", "leader(kube-scheduler)", "leader(…) is no node, which drain needs"),
        ("apiserver-crash", "leader(kubelet)", "no component kubelet"),
        ("drain", "nodeof(x)", "did you mean node-of?"),
        ("drain", "node-of()", "node-of(…) needs a workload in its brackets"),
        ("drain", "node-of(Deployment/default/nobody)", "no workload Deployment/default/nobody"),
        ("drain", "any-node(0)", "must be a whole number, 1 or more"),
        ("drain", "minority(3)", "takes nothing in its brackets"),
        ("drain", "zone(q)", "no zone q"),
        ("drain", "zone(a", "not a symbolic target"),
        ("rollout", "owner(nobody)", "no workload named nobody"),
        ("rollout", f"pod-of({API})", "pod-of(…) is no workload, which rollout needs"),
        ("request-refused", "controller(x)", "no controller x"),
        ("apiserver-crash", "server-of(node-99)", "no node or component node-99"),
        ("watch-closed", "leader(kube-scheduler)", "leader(…) is no cluster"),
    ],
)
def test_mistakes_are_said(do: str, target: str, says: str) -> None:
    kind = catalog().get(do)
    with pytest.raises(InvalidScenario) as caught:
        check(kind, kind.target, target, scope_of(booted()[0]))
    assert says in f"{caught.value.message} {caught.value.hint}"


def test_every_word_fits_a_fault() -> None:
    used = {word for kind in catalog() for word in words_for(kind, kind.target)}
    assert used == set(SYMBOLS)


def test_controllers_are_found_by_their_kind() -> None:
    names = {"deployment": "deployment-controller", "daemonset": "daemon-set-controller", "node-controller": "node-controller", "web": ""}
    assert {one: actor_of(one) for one in names} == names
