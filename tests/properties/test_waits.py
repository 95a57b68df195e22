"""Findings say the true cause: a probe that gives up too soon, pods of higher priority that have the room."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Violation
from kchaos.engine.settings import Settings
from tests.support import one, system_of

APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      {more}
      containers:
      - {{name: app, image: "registry.example/app:1", resources: {{requests: {{cpu: "{cpu}"}}}}, {probe}}}
"""
CLASS = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 100000\n---\n"
LIVENESS = "livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 5, periodSeconds: 5, failureThreshold: 2}"
STARTUP = "startupProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 4}"


def app(name: str = "web", replicas: int = 3, cpu: str = "1", probe: str = "", more: str = "") -> str:
    return APP.format(name=name, replicas=replicas, cpu=cpu, probe=probe, more=more)


def found(text: str, ident: str, nodes: int = 3, **assumed: Any) -> list[Violation]:
    """Return what a run without faults says under a rule."""
    outcome = one(system_of(text, nodes=nodes, settings=Settings(defaults=assumed)))
    return [violation for prop, violation in outcome.violations if prop.id == ident]


@pytest.mark.parametrize(
    ("probe", "words", "advice"),
    [
        (
            LIVENESS,
            "the liveness probe gives up after 10 s, the container needs 90 s to start (assumed): add a startupProbe",
            "add a startupProbe",
        ),
        (STARTUP, "the startup probe gives up after 15 s, the container needs 90 s to start (assumed)", "failureThreshold * periodSeconds"),
    ],
)
def test_a_probe_that_gives_up_before_the_container_is_up(probe: str, words: str, advice: str) -> None:
    """The pods that wait for the same are told together."""
    (violation,) = found(app(probe=probe), "KC206", start_s=90)
    assert violation.summary.count(words) == 1
    assert advice in violation.advice and "start_s" in violation.advice


def test_the_start_of_the_workload_itself_counts() -> None:
    """One workload of kchaos.yaml is slow, another is not."""
    settings = Settings(workloads={"default/web": {"start_s": 45}})
    outcome = one(system_of(app(probe=LIVENESS) + "---" + app("api", probe=LIVENESS), settings=settings))
    texts = {v.object: v.summary for prop, v in outcome.violations if prop.id == "KC206"}
    assert list(texts) == ["Deployment/default/web"] and "needs 45 s to start" in texts["Deployment/default/web"]


def test_a_container_without_enough_memory() -> None:
    text = app().replace("requests:", "limits: {memory: 100Mi}, requests:")
    (violation,) = found(text, "KC206", memory="200Mi")
    assert "killed for using more memory than its limit" in violation.summary
    assert "memory limit" in violation.advice and "probe" not in violation.summary


def test_pods_of_higher_priority_have_the_room() -> None:
    """Named with their priority; no word of it if all are equal, or if it would not fit either."""
    big = app("big", 6, "4", more="priorityClassName: high")
    text = next(iter(found(CLASS + big + "---" + app("small", 2), "KC201"))).summary
    assert "Insufficient cpu" in text and "higher priority have the room: Deployment default/big (100000); its own priority is 0" in text
    equal = found(CLASS + app("big", 6, "4") + "---" + app("small", 8), "KC201")
    assert equal and not any("priority" in one.summary.replace("No preemption", "") for one in equal)
    huge = found(CLASS + app("big", 2, "1", more="priorityClassName: high") + "---" + app("huge", 1, "100"), "KC201")
    assert huge and not any("higher priority" in one.summary for one in huge)
