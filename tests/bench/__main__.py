"""Measure what users feel, print it, save it to bench.json, and fail if a figure falls short of its target.

Times are the best of a few runs in this process; beside them stands the machine's bare heapq figure, so that machines can be compared.
"""

from __future__ import annotations

import gc
import heapq
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from kchaos.check.verdict import Verdict
from kchaos.engine.booting import boot
from kchaos.engine.campaign import campaign
from kchaos.engine.etcd.drive import Load, drive
from kchaos.engine.etcd.judge import result_of
from kchaos.engine.kubernetes import run
from kchaos.engine.machines import of_numbers
from kchaos.engine.sweep import sweep
from kchaos.engine.system import build, inputs_of
from kchaos.engine.workers import seldom_collect
from kchaos.engine.writes import sweep_writes
from kchaos.models.api.request import USER, Request
from kchaos.models.cluster import Cluster
from kchaos.models.manifests.load import Text, load
from kchaos.models.topology import spread_over_zones
from kchaos.properties.own.declared import Declared
from kchaos.real.backends import cluster_of
from kchaos.reports.etcd.page import html
from kchaos.scenario import At, Budget, Nth, Scenario, Step
from kchaos.sim.world import World
from kchaos.testing.cluster import SimulatedCluster
from kchaos.testing.files import Files
from tests.bench.memory import peak_mb
from tests.conftest import tool
from tests.reports.etcdrun import MEMBERS, etcd_result, etcd_run, killed_often
from tests.reports.events import many, report
from tests.support import ROOT, Settings

APPLICATIONS = ROOT / "fixtures" / "applications"
SAVED = ROOT / "bench.json"


class Figure(NamedTuple):
    """One measurement. ``at_least``: the target is a lower bound."""

    name: str
    value: float
    target: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


def bare_heapq(count: int = 400_000) -> float:
    """Return pops and pushes a second of a heap of 100 timers: what any event loop on this machine is bounded by."""
    heap = [(i * 0.001, i, None) for i in range(100)]
    number = 100
    begun = time.perf_counter()
    for _ in range(count):
        when, _, item = heapq.heappop(heap)
        number += 1
        heapq.heappush(heap, (when + 0.1, number, item))
    return count / (time.perf_counter() - begun)


def deliveries(count: int = 300_000) -> float:
    """Return messages a second that ten processes on ten hosts pass round in a ring."""
    world = World()
    for i in range(10):
        world.add_host(f"h{i}")
    processes = [world.start(f"h{i}", "p") for i in range(10)]
    passed = [0]

    def receiver(index: int) -> Callable[[str, object], None]:
        def on_message(sender: str, message: object) -> None:
            passed[0] += 1
            processes[index].send(f"h{(index + 1) % 10}/p", message)

        return on_message

    for i, process in enumerate(processes):
        process.listen(receiver(i))
    for i in range(10):
        processes[i].send(f"h{(i + 1) % 10}/p", i)
    begun = time.perf_counter()
    world.run(count / 10 * 0.0005)
    return passed[0] / (time.perf_counter() - begun)


def loop() -> list[Figure]:
    bare = max(bare_heapq() for _ in range(3))
    ours = max(deliveries() for _ in range(3))
    return [Figure("bare heapq", bare, 0, "1/s", True), Figure("loop deliveries / bare heapq", ours / bare, 0.15, "", True)]


def many_pods(pods: int = 10_000, nodes: int = 1000) -> list[Figure]:
    """One Deployment from apply to all Ready; and what the last thousand pods cost compared with the second."""
    cluster = Cluster(spread_over_zones(nodes, 3))
    cluster.run_for(10.0)
    container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }  # fmt: skip
    begun = time.perf_counter()
    cluster.execute(Request("create", "deployments", "default", body=body, identity=USER))
    while cluster.control.store.get("deployments", "default/web").get("status", {}).get("readyReplicas", 0) < pods:
        cluster.run_for(0.5)
        if time.perf_counter() - begun > 300:
            break
    wall = time.perf_counter() - begun
    cluster.close()
    megabytes = peak_mb()
    return [
        Figure(f"{pods} pods on {nodes} nodes, all Ready", wall, 25, "s"),
        Figure("memory for that", megabytes, 2048, "MB"),
    ]


def marginal() -> list[Figure]:
    """Ask for pods a thousand at a time: what do pods 9,000 to 10,000 cost, in CPU time, compared with 1,000 to 2,000?"""
    cluster = Cluster(spread_over_zones(1000, 3))
    cluster.run_for(10.0)
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }  # fmt: skip
    cluster.execute(Request("create", "deployments", "default", body=body, identity=USER))
    cluster.run_for(1.0)
    costs = []
    for thousand in range(1, 11):
        now = cluster.control.store.get("deployments", "default/web")
        grown = {**now, "spec": {**now["spec"], "replicas": thousand * 1000}}
        gc.collect()
        begun = time.process_time()
        cluster.execute(Request("update", "deployments", "default", "web", body=grown, identity=USER))
        cluster.run_for(8.0)
        costs.append(time.process_time() - begun)
        have = cluster.control.store.get("deployments", "default/web")["status"].get("readyReplicas", 0)
        assert have == thousand * 1000, have
    cluster.close()
    return [Figure("cost of pods 9,000-10,000 / 1,000-2,000", costs[9] / costs[1], 1.3, "")]


def _application(name: str, nodes: int, zones: int, masters: int = 1) -> tuple[list[dict], object]:
    texts = [Text(path.name, path.read_bytes()) for path in sorted((APPLICATIONS / name).glob("*.yaml"))]
    objects = [one.obj for one in load(texts).manifests]
    topology = msgspec.structs.replace(of_numbers(nodes, zones, objects).topology, masters=masters)
    return objects, build(msgspec.to_builtins(topology), inputs_of(objects, [], Settings(), "1.34"))


def a_day() -> list[Figure]:
    """Twenty-four hours of guestbook on six nodes: leases, probes, elections."""
    _, system = _application("guestbook", 6, 3)
    booted = boot(system)
    cluster = Cluster(system.topology, image=booted.image, elect=True)
    begun = time.perf_counter()
    cluster.run_for(86_400.0)
    wall = time.perf_counter() - begun
    cluster.close()
    return [Figure("24 h of guestbook on 6 nodes", wall, 10, "s")]


def examples() -> list[Figure]:
    """Online-boutique, three API servers, five nodes, 60 virtual seconds, one fault with evidence, all properties, the run written."""
    _, system = _application("online-boutique", 5, 3, masters=3)
    booted = boot(system)
    faults = ["pod-kill", "container-kill", "rollout", "drain"]
    workloads = list(booted.workloads)
    count = 24
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        for i in range(count):
            fault = faults[i % len(faults)]
            target = f"node-{i % 5 + 1}" if fault == "drain" else workloads[i % len(workloads)]
            step = Step(do=fault, args={"target": target}, when=At(1.0))
            outcome = run(system, booted, Scenario(seed=i, steps=(step,), budget=Budget(chaos_s=30.0, settle_s=22.0)))
            assert outcome.steps[0]["status"] == "bit", outcome.steps
            outcome.run.save(Path(folder) / f"{i}.run.jsonl")
        wall = time.perf_counter() - begun
    return [Figure("online-boutique examples per second and core", count / wall, 20, "1/s", True)]


def own() -> list[Figure]:
    """The same with three properties of users, against none: processor time, the best of three each."""
    _, system = _application("online-boutique", 5, 3)
    web = "default/frontend"
    claims = (
        f'workloads["{web}"].ready >= 0',
        f'endpoints["{web}"].ready <= 1',
        f'pods.filter(p, p.workload == "{web}" && p.ready).size() < 9',
    )
    declared = [Declared(id=f"OWN-{index}", title="t", form="always", says=says) for index, says in enumerate(claims)]
    judged = build(msgspec.to_builtins(system.topology), {**system.inputs, "properties": msgspec.to_builtins(declared)})
    booted = boot(system)
    steps = [Step(do="rollout", args={"target": workload}) for workload in booted.workloads]
    took: dict[int, list[float]] = {0: [], 3: []}
    for _ in range(3):
        for which in (system, judged):
            begun = time.process_time()
            for step in steps:
                outcome = run(which, booted, Scenario(steps=(step,)))
                assert len(outcome.exercised) == len(which.properties), outcome.violations
            took[len(which.properties)].append(time.process_time() - begun)
    return [Figure("the same with three properties of users / without", min(took[3]) / min(took[0]), 1.3, "")]


def chaotic() -> list[Figure]:
    """The same application and length, a rollout in each, and a fault of the control plane or of the network at an event of it."""
    _, system = _application("online-boutique", 5, 3, masters=3)
    booted = boot(system)
    faults = [
        ("leader-crash", "kube-controller-manager"), ("answer-lost", "replicaset-controller"), ("events-held", "pods"),
        ("stale-apiserver", "master-0"), ("apiserver-crash", "master-1"), ("overlay-loss", "node-1"), ("one-way-to-masters", "node-2"),
    ]  # fmt: skip
    event = {"on": "commit", "type": "ADDED", "resource": "pods", "actor": "replicaset-controller"}
    count = 21
    begun = time.perf_counter()
    for i in range(count):
        rollout = Step(do="rollout", args={"target": list(booted.workloads)[i % len(booted.workloads)]})
        fault = Step(do=faults[i % len(faults)][0], args={"target": faults[i % len(faults)][1]}, when=Nth(event), for_s=10.0)
        outcome = run(system, booted, Scenario(seed=i, steps=(rollout, fault), budget=Budget(chaos_s=30.0, settle_s=22.0)))
        assert outcome.steps[0]["status"] == "bit" and outcome.steps[1]["status"] != "disarmed", outcome.steps
    return [Figure("the same under control-plane and network faults", count / (time.perf_counter() - begun), 20, "1/s", True)]


def every_write() -> list[Figure]:
    """A crash after each write of a rollout of online-boutique's frontend."""
    _, system = _application("online-boutique", 6, 3)
    booted = boot(system)
    begun = time.perf_counter()
    found = list(sweep_writes(system, booted, Step(do="rollout", args={"target": "Deployment/default/frontend"})))
    assert found and all(one.fired and one.same for one in found), found
    return [Figure("write sweep, for 100 writes", (time.perf_counter() - begun) / len(found) * 100, 30, "s")]


def level_one() -> list[Figure]:
    """The sweep's level 1 of an application of twenty objects on six nodes, on one core."""
    objects, _ = _application("online-boutique", 6, 3)
    twenty = objects[:20]
    assert len(twenty) == 20
    system = build(msgspec.to_builtins(spread_over_zones(6, 3)), inputs_of(twenty, [], Settings(), "1.34"))
    begun = time.perf_counter()
    booted = boot(system)
    plan = sweep(system, booted)
    done = campaign(system, booted, plan._replace(pairs=()))
    assert done.complete
    return [Figure(f"level 1 of 20 objects on 6 nodes ({len(plan.level1)} examples)", time.perf_counter() - begun, 10, "s")]


def loading() -> list[Figure]:
    """A valid file of a hundred thousand lines."""
    one = (ROOT / "fixtures" / "situations" / "endpoint-race.yaml").read_text(encoding="utf-8")
    rows = one.count("\n") + 1
    text = "\n---\n".join(one.replace("name: api", f"name: api-{i}") for i in range(100_000 // rows + 1))
    begun = time.perf_counter()
    loaded = load([Text("big.yaml", text.encode())])
    assert len(loaded.manifests) > 4000
    return [Figure(f"loading {text.count(chr(10)):,} lines", time.perf_counter() - begun, 10, "s")]


ADDED = """
import sys, time, pytest

OTHERS = [part for name in ("cacheprovider", "asyncio", "anyio", "randomly") for part in ("-p", "no:" + name)]

def suite(*options):
    begun = time.process_time()
    pytest.main(["-q", *OTHERS, *options])
    return time.process_time() - begun

suite("-p", "no:kchaos")
without = suite("-p", "no:kchaos")
assert not any(name.startswith("kchaos") for name in sys.modules)
print(suite() - without)
"""
"""What a process prints: CPU seconds that a suite takes more when the plugin is loaded for the first time."""


def plugin() -> list[Figure]:
    """What the pytest plugin adds to a suite that does not use it, in CPU time; and how long a test waits for its cluster."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")
        added = [float(subprocess.check_output([sys.executable, "-c", ADDED], cwd=folder, text=True).splitlines()[-1]) for _ in range(5)]
    ready, resets = [], []
    for _ in range(10):
        begun = time.perf_counter()
        cluster = SimulatedCluster(Files(Path(), Path()), {})
        cluster.nodes()
        ready.append(time.perf_counter() - begun)
        for _ in range(10):
            begun = time.perf_counter()
            cluster.reset()
            cluster.nodes()
            resets.append(time.perf_counter() - begun)
        cluster.close()
    return [
        Figure("pytest plugin, added to a suite without it", min(added) * 1000, 50, "ms"),
        Figure("fixture cluster, ready for the first time", min(ready) * 1000, 50, "ms"),
        Figure("fixture cluster, reset", min(resets) * 1000, 5, "ms"),
    ]


def reporting() -> list[Figure]:
    """The page of five findings whose runs have 100,000 events together, beside a thousand workloads: stories, pictures, HTML."""
    run_ = many(20_000)
    begun = time.perf_counter()
    page = report(run_)
    wall = time.perf_counter() - begun
    return [Figure("report of five runs with 100,000 events", wall, 2, "s"), Figure("its size", len(page.encode()) / 1e6, 1, "MB")]


def etcd_reporting() -> list[Figure]:
    """The page of a run of real etcd in ten minutes: 100,000 operations under 190 faults, 10,000 kills, 2,000 operations a second."""
    result = etcd_result(Verdict.FAIL, findings=5, seconds=600.0, operations=100_000)
    often, kills = killed_often(10_000, 600.0, MEMBERS)
    figures = []
    for name, run_, shown in (
        ("100,000 operations", etcd_run(100_000, 600.0), result),
        ("10,000 kills", often, msgspec.structs.replace(result, faults=tuple(kills))),
        ("1,200,000 operations", etcd_run(1_200_000, 600.0), result),
    ):
        begun = time.perf_counter()
        page = html(shown, run_)
        wall = time.perf_counter() - begun
        figures += [Figure(f"report of an etcd run of {name}", wall, 2, "s"), Figure("its size", len(page.encode()) / 1e6, 1, "MB")]
    return figures


def etcd_checkers() -> list[Figure]:
    """Judging what was recorded of etcd, each in a process of its own."""
    took = {}
    for name in ("million", "run"):
        command = [sys.executable, "-m", "tests.bench.checkers", name]
        took[name] = json.loads(subprocess.check_output(command, cwd=ROOT, text=True))
    return [
        Figure("linearizability of 1,000,000 operations, CPU time", took["million"]["s"], 5, "s"),
        Figure("its process, the history included", took["million"]["rss_gb"], 1, "GB"),
        Figure("judging 100,000 operations with 30 faults, CPU time", took["run"]["s"], 5, "s"),
    ]


def etcd_load() -> list[Figure]:
    """The workload with all watchers on three members, no faults, clients and members on the same cores."""
    name = "operations per second on 3 real etcd members"
    missing = [one for one in ("etcd", "toxiproxy") if tool(one) is None]
    if missing:
        sys.stdout.write(f"{name:58} not run: needs {', '.join(missing)} (make tools)\n")
        return []
    cluster = cluster_of("process", 3, binary=tool("etcd"))
    cluster.start()
    try:
        run_ = drive(cluster, Scenario(system="etcd", budget=Budget(chaos_s=10.0, settle_s=30.0)), Load())
    finally:
        cluster.stop()
    return [Figure(name, result_of(run_, command="", saved="").operations_per_s, 1000, "1/s", True)]


def etcd_starts() -> list[Figure]:
    """Three members of etcd with Toxiproxy between them, from start() until each answers a linearizable read, and stop(): medians of five."""
    figures = []
    for backend, start_s, stop_s, needed in (("process", 1.5, 0.5, ("etcd", "toxiproxy")), ("containers", 5.0, 5.0, ("docker", "images"))):
        name = f"start of 3 real etcd members, {backend} (median)"
        if missing := [one for one in needed if tool(one) is None]:
            sys.stdout.write(f"{name:58} not run: needs {', '.join(missing)} (make tools)\n")
            continue
        starts, stops = [], []
        for _ in range(5):
            cluster = cluster_of(backend, 3, binary=tool("etcd") if backend == "process" else None)
            begun = time.perf_counter()
            cluster.start()
            started = time.perf_counter()
            cluster.stop()
            starts.append(started - begun)
            stops.append(time.perf_counter() - started)
        figures.append(Figure(name, statistics.median(starts), start_s, "s"))
        figures.append(Figure("and their stop (median)", statistics.median(stops), stop_s, "s"))
    return figures


def main() -> int:
    figures: list[Figure] = []
    seldom_collect()  # as the command line does
    measures = (
        loop, a_day, examples, own, chaotic, every_write, level_one, loading, reporting, many_pods, marginal, plugin, etcd_reporting,
        etcd_checkers, etcd_load, etcd_starts,
    )  # fmt: skip
    for measure in measures:
        gc.collect()
        for figure in measure():
            figures.append(figure)
            sign = "≥" if figure.at_least else "≤"
            verdict = "ok" if figure.met else "FALLS SHORT"
            sys.stdout.write(f"{figure.name:58} {figure.value:14,.2f} {figure.unit:4} {sign} {figure.target:<8g} {verdict}\n")
            sys.stdout.flush()
    SAVED.write_text(
        json.dumps(
            {
                "python": platform.python_version(), "machine": platform.machine(),
                "figures": [{"name": f.name, "value": round(f.value, 4), "target": f.target, "unit": f.unit, "met": f.met} for f in figures],
            },
            indent=1,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
