"""Headless Services: who keeps the answer to a look-up asks addresses that are nobody's any more, and names that did not exist, until it ends."""

from __future__ import annotations

from kchaos.history.record import Mark
from tests.support import one, step, system_of

DB = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: REPLICAS
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: c, image: postgres, readinessProbe: {periodSeconds: 1, httpGet: {port: 80}}}]
"""


def _lost(replicas: int, keep_s: float | None, fault: str = "pod-kill") -> dict[str, float]:
    system = system_of(DB.replace("REPLICAS", str(replicas)), nodes=3, zones=1)
    if keep_s is not None:
        system = system._replace(settings={**system.settings, "looked_up": {"default/db": keep_s}})
    total: dict[str, float] = {}
    for mark in one(system, step(fault, "StatefulSet/default/db")).run.entries:
        if isinstance(mark, Mark) and mark.what == "traffic":
            for reason, share in mark.data["lost"].items():
                total[reason] = total.get(reason, 0.0) + share * (mark.data["end"] - mark.data["start"])
    return total


def test_a_headless_service_is_asked_only_if_it_is_said_how() -> None:
    assert _lost(3, None) == {}


def test_a_stale_record_is_asked_until_its_time_is_over() -> None:
    fresh, kept = _lost(3, 0.0), _lost(3, 60.0)
    assert fresh.get("stale record", 0.0) < 0.5
    assert kept["stale record"] > 5.0
    assert sum(kept.values()) < 60.0 / 3 + 1.0, "one of three addresses, for one time to live at most"


def test_a_name_that_was_looked_up_too_early_stays_unknown() -> None:
    """The only pod is replaced within seconds; a look-up in between says that there is no such name, for as long as answers are kept."""
    fresh, kept = _lost(1, 0.0), _lost(1, 6.0)
    assert 0.0 < fresh["no record"] < 6.0
    assert kept["no record"] >= 6.0
    assert kept["stale record"] > 0.0
