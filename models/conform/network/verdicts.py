"""Recorded probes of a scene: who answered, and under which address the client was seen; against the walk through tables compiled from the objects."""

from __future__ import annotations

from collections.abc import Iterator

from kchaos.models.api.tree import Obj
from kchaos.models.conform.judge import Fact
from kchaos.models.conform.network.rules import difference, lines_of
from kchaos.models.conform.network.scenes import Scene, broken, scene_of
from kchaos.models.network.addresses import number
from kchaos.models.network.hops import Hits
from kchaos.models.network.rules import Rule, written
from kchaos.models.network.tables import Fabric
from kchaos.models.network.walk import Client, Verdict, probe

Result = tuple[str, str, str, str]
SIGMAS = 5.0
"""A share of answers may be so many standard deviations off before it counts as another distribution."""
OF_TUNNELS = ("nat KUBE-POSTROUTING: -m mark ! --mark 0x4000/0x4000 -j RETURN", "nat KUBE-SERVICES: ", "-j KUBE-NODEPORTS")
"""Rules that the overlay's own packets hit as well, once for each outer flow: their counters say nothing of a probe."""


def client_of(story: Obj, name: str) -> Client:
    """Return who asks."""
    topology = story["topology"]
    if name in topology["pods"]:
        pod = topology["pods"][name]
        return Client("pod", name, pod["node"], number(pod["ip"]))
    return Client("node" if name in topology["nodes"] else "outside", name)


def _ask(scene: Scene, one: Obj, hits: Hits | None = None) -> tuple[Verdict, ...]:
    client = client_of(scene.story, one["client"])
    return probe(scene.fabric, client, one.get("protocol", "TCP"), one["to"], one.get("via") or "", hits=hits)


def _wanted(result: Obj) -> Result:
    return result["verdict"], result.get("by", ""), result.get("at", ""), result.get("source", "")


def _result(scene: Scene, verdict: Verdict) -> Result:
    """Return a result as recordings have it: a node's own server is called ``n1-host``."""
    result = verdict.result
    return (result[0], f"{verdict.by}-host", *result[2:]) if verdict.by in scene.fabric.nodes else result


def _probe(scene: Scene, one: Obj, prefix: str = "") -> Iterator[Fact]:
    """Judge one probe: every recorded result is possible, and (but for chance in few attempts) no other."""
    hits: Hits = set()
    found = _ask(scene, one, hits)
    have = {_result(scene, verdict): verdict for verdict in found}
    want = [_wanted(result) for result in one["results"]]
    holds = all(result in have for result in want) and (len(have) == len(want) or one["attempts"] > 1)
    what = f"{prefix}{one['client']} asks {one.get('service') or ''} {one['to']}/{one.get('protocol', 'TCP')}".replace("  ", " ")
    via = f" by way of {one['via']}" if one.get("via") else ""
    reasons = "; ".join(f"{' '.join(result).strip()} ({verdict.reason})" for result, verdict in have.items())
    yield Fact("verdict", f"{what}{via}: {' or '.join(' '.join(result).strip() for result in want)}", holds, f"got {reasons}")
    if "rulesHit" in one and len(have) == 1:
        recorded = {(node, rule) for node, rules in one["rulesHit"].items() for rule in rules if not _of_tunnels(rule)}
        ours = {(node, rule) for node, rule in hits if not _of_tunnels(rule) and _counted(rule)}
        lost, more = sorted(recorded - ours), sorted(ours - recorded)
        yield Fact("rules hit", f"{what}{via}: {len(recorded)} rules", not lost and not more, f"missed {lost[:2]}, besides {more[:2]}")


def _of_tunnels(rule: str) -> bool:
    whole, start, end = OF_TUNNELS
    return rule == whole or (rule.startswith(start) and rule.endswith(end))


def _counted(rule: str) -> bool:
    return rule.partition(" ")[2].startswith(("KUBE-", "FLANNEL-"))


def judge_probes(story: Obj) -> Iterator[Fact]:
    """Judge a scene: each node's rules, and each probe."""
    scene = scene_of(story)
    if story["mode"] == "iptables":
        for name, recorded in story["rules"].items():
            found = difference(lines_of(recorded), written(scene.fabric.nodes[name].rules))
            yield Fact("rules", f"the rules of {name}", not found, found)
    for one in story["probes"]:
        yield from _probe(scene, one)


def judge_faults(story: Obj) -> Iterator[Fact]:
    """Judge a scene with one thing broken after the other."""
    scene = scene_of(story)
    for case in story["cases"]:
        fault = case["fault"]
        found = broken(scene, case)
        if found is None:
            yield from (
                Fact("verdict", f"{fault}: {one['client']} asks {one['to']}", False, "this fault is not known") for one in case["probes"]
            )
            continue
        scene = found.lasting
        for name, recorded in (case.get("rulesOn") or {}).items():
            differs = difference(lines_of(recorded), written(found.now.fabric.nodes[name].rules))
            yield Fact("rules", f"{fault}: the rules of {name}", not differs, differs)
        for one in case["probes"]:
            yield from _probe(found.now, one, f"{fault}: ")


# -- how answers spread ------------------------------------------------------------------------------------------------


def judge_distribution(story: Obj) -> Iterator[Fact]:
    """Judge how connections spread over endpoints, and that a client of a Service with affinity stays with one."""
    scene = scene_of(story)
    for case in story["cases"]:
        if case["kind"] == "distribution":
            yield _spread(scene, case)
        else:
            yield from _stays(scene, case)


def _spread(scene: Scene, case: Obj) -> Fact:
    space, _, name = case["service"].partition("/")
    service = next(
        one
        for one in scene.objects
        if one["kind"] == "Service" and one["metadata"]["name"] == name and one["metadata"]["namespace"] == space
    )
    to = f"{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
    shares: dict[str, float] = {}
    for one in _ask(scene, {"client": case["client"], "to": to}):
        shares[one.by] = shares.get(one.by, 0.0) + one.probability
    count = int(case["connections"])
    off = [
        f"{pod}: {case['answers'].get(pod, 0)} instead of {shares.get(pod, 0.0) * count:.0f}"
        for pod in sorted({*shares, *case["answers"]})
        if abs(case["answers"].get(pod, 0) - shares.get(pod, 0.0) * count) > SIGMAS * (count * shares.get(pod, 0.0) * (1 - shares.get(pod, 0.0))) ** 0.5
    ]  # fmt: skip
    return Fact("distribution", f"{case['client']} asks {case['service']}: {case['answers']}", not off, "; ".join(off))


def _stays(scene: Scene, case: Obj) -> Iterator[Fact]:
    """Follow one client's connections: within the timeout the same endpoint, after it any."""
    now_s, fabric, last = 0.0, scene.fabric, ""
    client = client_of(scene.story, case["client"])
    told = [(0.01, pod) for pod in case["back-to-back"]] + [(float(wait[1]), pod) for wait, pod in case.get("spaced") or ()]
    wrong: list[str] = []
    for wait_s, pod in told:
        now_s += wait_s
        found = {one.by: one for one in probe(fabric, client, "TCP", case["to"], now_s=now_s)}
        if pod not in found or (wait_s < case["timeoutSeconds"] and last and set(found) != {last}):
            wrong.append(f"after {wait_s} s {pod}, possible {sorted(found)}")
        if pod in found:
            fabric = remembered(fabric, client, case, found[pod].at, now_s)
        last = pod
    yield Fact(
        "affinity",
        f"{case['client']} stays with its endpoint of {case['service']} for {case['timeoutSeconds']} s",
        not wrong,
        "; ".join(wrong[:2]),
    )


def _of(rule: Rule, service: str) -> bool:
    """Tell whether a rule belongs to a Service, by its comment ``namespace/name[:port]``."""
    return any(match.kind == "comment" and match.a.partition(":")[0] == service for match in rule.matches)


def remembered(fabric: Fabric, client: Client, case: Obj, endpoint: str, now_s: float) -> Fabric:
    """Return the tables after a connection was sent to an endpoint: on the node that translated it, `recent` knows the client."""
    asked = number(case["to"].rpartition(":")[0])
    home = client.node or (client.name if client.kind == "node" else fabric.at_address(asked))
    node = fabric.nodes[home]
    source = client.address or (node.address if client.kind == "node" else fabric.outside[client.name].address)
    for chain, rules in node.rules["nat"].chains.items():
        if any(rule.option == endpoint and _of(rule, case["service"]) for rule in rules):
            recent = {**node.recent, chain: {**node.recent.get(chain, {}), source: now_s}}
            return fabric._replace(nodes={**fabric.nodes, home: node._replace(recent=recent)})
    return fabric
