"""A run of as many events as asked for, and the report of it: pods that come and go, turn ready and unready, lose requests."""

from __future__ import annotations

from typing import Any

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.pictures import timelines
from kchaos.engine.replays import Replay
from kchaos.engine.result import Result
from kchaos.engine.story import numbered, sentences
from kchaos.history.record import Entry, Header, Mark, Run, Write
from kchaos.reports.html import html
from kchaos.scenario import Scenario
from tests.reports.hostile import large

NODES = 20
PODS = 200
WEB = "Deployment/shop/web"


def pod(number: int, ready: bool, life: int) -> dict[str, Any]:
    """Return a pod of a ReplicaSet of :data:`WEB`."""
    ref = {"kind": "ReplicaSet", "name": "web-6d4b", "uid": "1", "controller": True}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"web-6d4b-{number}-{life}", "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [ref]},
        "spec": {"nodeName": f"node-{number % NODES}"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }  # fmt: skip


def many(events: int) -> Run:
    """Return the run."""
    owner = {"kind": "Deployment", "name": "web", "uid": "0", "controller": True}
    nodes = {
        f"node-{n}": {
            "kind": "Node",
            "metadata": {"name": f"node-{n}", "labels": {"topology.kubernetes.io/zone": f"zone-{n % 3}"}},
            "spec": {},
        }
        for n in range(NODES)
    }
    initial = {
        "nodes": nodes, "pods": {f"shop/web-6d4b-{n}-0": pod(n, True, 0) for n in range(PODS)},
        "replicasets": {"shop/web-6d4b": {"kind": "ReplicaSet", "metadata": {"name": "web-6d4b", "namespace": "shop", "ownerReferences": [owner]}, "spec": {}}},
        "services": {"shop/web": {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}}},
    }  # fmt: skip
    entries: list[Entry] = [Mark(0.0, "phase", {"name": "boot"}), Mark(1.0, "phase", {"name": "chaos"})]
    injected = {"step": 0, "action": "injected", "name": "node-power-loss", "args": {"target": "node-1"}, "planned": False}
    entries.append(Mark(1.0, "fault", injected))
    live = {n: pod(n, True, 0) for n in range(PODS)}
    t = 1.0
    while len(entries) < events:
        number, turn = len(entries) % PODS, len(entries) // PODS
        t += 0.02
        old = live[number]
        key = f"shop/{old['metadata']['name']}"
        if turn % 7 == 6:
            live[number] = pod(number, False, turn)
            entries.append(Write(t, "DELETED", "pods", key, len(entries), "kubelet", old, old))
            entries.append(
                Write(t, "ADDED", "pods", f"shop/web-6d4b-{number}-{turn}", len(entries), "replicaset-controller", live[number], None)
            )
        else:
            live[number] = {**old, "status": pod(number, turn % 2 == 0, 0)["status"]}
            entries.append(Write(t, "MODIFIED", "pods", key, len(entries), "kubelet", live[number], old))
        entries.append(Mark(t, "members", {"workload": WEB, "serving": len(entries) * 7 % PODS, "ready": 0}))
        lost = {"refused": 0.1 * (len(entries) % 9)}
        entries.append(Mark(t, "traffic", {"service": "shop/web", "start": t - 0.02, "end": t, "lost": lost}))
    return Run(Header(initial=initial), entries, "")


def findings() -> list[Finding]:
    """Return as many as get pictures, about one workload, its Service, and the cluster."""
    about = (WEB, "Service/shop/web", "Node/node-1", WEB, "Cluster")
    return [
        Finding(
            id="KC202", property="no-outage", severity=Severity.ERROR, summary="nobody answers", object=name, fingerprint=f"{number:016x}", t=3.0,
            figures={"outage_s": 4.0},
        )
        for number, name in enumerate(about)
    ]  # fmt: skip


def report(run: Run, beside: Result | None = None) -> str:
    """Return the page of a run that shows five findings; ``beside``: what else the result has."""
    found = findings()
    replays = {one.fingerprint: Replay("", Scenario(), run, sentences(run, one.object)) for one in found}
    told = tuple(msgspec.structs.replace(one, story=tuple(numbered(replays[one.fingerprint].sentences))) for one in found)
    pictures = timelines(told, replays, {})
    base = beside if beside is not None else large()
    return html(msgspec.structs.replace(base, findings=(*told, *base.findings), timelines=pictures))
