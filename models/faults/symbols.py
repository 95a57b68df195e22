"""What symbolic targets mean in Kubernetes: who leads, which node a pod is on, a minority of the masters; asked when a fault fires.

Each word stands for targets of some sorts. What can be known beforehand (does the workload exist, is the component one that elects a
leader) is checked before anything runs; the rest, such as whether anybody leads, is only known when the fault fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kchaos.errors import InvalidScenario
from kchaos.models.api.pods import active, ready
from kchaos.models.api.resources import by_kind
from kchaos.models.cluster import KUBELET, Cluster
from kchaos.models.controllers.catalog import CONTROLLERS
from kchaos.models.controlplane import MANAGER, SCHEDULER
from kchaos.models.faults.targets import owner_of, parts, pods_of
from kchaos.nemesis.arguments import near
from kchaos.nemesis.fault import Kind
from kchaos.nemesis.targets import Call, Resolved

COMPONENTS = (MANAGER, SCHEDULER)
OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod")
"""Kinds that ``owner(NAME)`` looks for, in this order."""
Scope = Mapping[str, Iterable[str]]
"""What exists in a scenario: names by sort of target."""


class Symbol(NamedTuple):
    """One word: what stands in its brackets, which sorts of targets it can stand for, how it is resolved (cluster, argument, sort)."""

    word: str
    argument: str
    sorts: tuple[str, ...]
    summary: str
    resolve: Callable[[Cluster, str, str], Resolved]


def _leader(cluster: Cluster, process: str, sort: str) -> Resolved:
    if process not in COMPONENTS:
        raise InvalidScenario(f"not a component that elects a leader: {process!r}", hint=f"write {' or '.join(COMPONENTS)}")
    host = cluster.control.leader(process)
    if host is None:
        return Resolved((), f"nobody leads {process} now")
    return Resolved((process if sort == "component" else host,), f"the leader of {process}" + (f", on {host}" * (sort == "component")))


def actor_of(controller: str) -> str:
    """Return the name under which a controller asks: ``deployment`` is ``deployment-controller``; empty if there is none."""
    names = list(dict.fromkeys(one.name for one in CONTROLLERS))
    plain = controller.replace("-", "")
    return next((name for name in names if plain in (name.replace("-", ""), name.removesuffix("-controller").replace("-", ""))), "")


def _controller(cluster: Cluster, controller: str, sort: str) -> Resolved:
    if sort == "actor":
        return Resolved((actor_of(controller),), f"the {controller} controller")
    found = _leader(cluster, MANAGER, sort)
    return Resolved(found.names, f"where the {controller} controller runs") if found.names else found


def _members(cluster: Cluster, sort: str) -> list[str]:
    return list(cluster.control.hosts) if sort == "master" else cluster.node_names()


def _minority(cluster: Cluster, _: str, sort: str) -> Resolved:
    """Take the last ones: fewer than half."""
    members = _members(cluster, sort)
    count = (len(members) - 1) // 2
    what = "master" if sort == "master" else "node"
    if not count:
        return Resolved((), f"{len(members)} {what}{'s' * (len(members) > 1)} {'have' if len(members) > 1 else 'has'} no minority")
    return Resolved(tuple(members[-count:]), f"a minority of the {what}s")


def _majority(cluster: Cluster, _: str, sort: str) -> Resolved:
    """Take the first ones: more than half."""
    members = _members(cluster, sort)
    return Resolved(tuple(members[: len(members) // 2 + 1]), f"a majority of the {'master' if sort in ('master', 'host') else 'node'}s")


def _zone(cluster: Cluster, zone: str, sort: str) -> Resolved:
    zones = cluster.topology.zones
    name = zone if zone in zones else f"zone-{zone}"
    if sort == "zone":
        return Resolved((name,), f"zone {name}")
    return Resolved(tuple(node.name for node in cluster.topology.nodes if node.zone == name), f"a node of {name}")


def _nodes_with_pods(cluster: Cluster) -> list[str]:
    used = dict.fromkeys(pod["spec"].get("nodeName", "") for pod in cluster.control.store.table("pods").values() if active(pod))
    return [name for name in cluster.node_names() if name in used]


def _placed(cluster: Cluster, node: str, words: str, sort: str) -> Resolved:
    if sort == "zone":
        return Resolved(
            (next(one.zone for one in cluster.topology.nodes if one.name == node),), f"the zone of {words.removeprefix('the ')}"
        )
    return Resolved((node,), words)


def _any_node(cluster: Cluster, number: str, sort: str) -> Resolved:
    """Take the n-th node with pods; after the last comes the first again, so that a drawn number always means one."""
    nodes = _nodes_with_pods(cluster)
    if not nodes:
        return Resolved((), "no node has pods now")
    return _placed(cluster, nodes[(int(number or 1) - 1) % len(nodes)], f"node {int(number or 1)} of those with pods", sort)


def _node_of(cluster: Cluster, target: str, sort: str) -> Resolved:
    """Take the node of the first pod, by name, that is ready, or else of the first that is placed."""
    nodes = dict.fromkeys(cluster.node_names())  # what is stored may be corrupted
    placed = [pod for pod in pods_of(cluster, target) if pod["spec"].get("nodeName") in nodes and active(pod)]
    best = next((pod for pod in placed if ready(pod)), placed[0] if placed else None)
    if best is None:
        return Resolved((), f"no pod of {target} is on a node now")
    return _placed(cluster, best["spec"]["nodeName"], f"the node of {best['metadata']['name']}", sort)


def _pod_of(cluster: Cluster, text: str, _: str) -> Resolved:
    target, _, number = text.partition(",")
    pods = [pod for pod in pods_of(cluster, target.strip()) if active(pod)]
    if not pods:
        return Resolved((), f"{target.strip()} has no pod now")
    pod = pods[(int(number or 1) - 1) % len(pods)]
    meta = pod["metadata"]
    return Resolved((f"Pod/{meta['namespace']}/{meta['name']}",), f"pod {int(number or 1)} of {target.strip()}")


def _owner(cluster: Cluster, text: str, _: str) -> Resolved:
    store = cluster.control.store
    if text.startswith("Pod/"):
        pod = store.get("pods", text.removeprefix("Pod/"))
        return Resolved((owner_of(cluster, pod),), f"the owner of {text}") if pod is not None else Resolved((), f"{text} is gone")
    space, _, name = text.rpartition("/")
    for kind in OWNERS:
        resource = by_kind(None, kind)
        assert resource is not None
        for key in sorted(store.table(resource.plural)):
            where, _, own = key.partition("/")
            if own == name and space in ("", where):
                return Resolved((f"{kind}/{key}",), f"the owner named {text}")
    return Resolved((), f"no workload is named {text} now")


def _server_of(cluster: Cluster, client: str, sort: str) -> Resolved:
    """Take the master whose API server a kubelet, a leader or the user talks to now."""
    if client == "user":
        found = cluster.user.client.server
    elif client in COMPONENTS:
        host = cluster.control.leader(client)
        if host is None:
            return Resolved((), f"nobody leads {client} now")
        table: Mapping[str, Any] = cluster.control.managers if client == MANAGER else cluster.control.schedulers
        found = table[host].client.server
    elif client in cluster.control.hosts:
        found = cluster.control.managers[client].client.server
    else:
        living = cluster.world.processes.get(f"{client}/{KUBELET}")
        if living is None or living.owner.crashed:
            return Resolved((), f"{client} is off now")
        found = cluster.kubelets[client].client.server
    return Resolved((found.partition("/")[0],), f"the API server of {client}")


_WHERE = ("node", "zone", "client")
SYMBOLS = {
    one.word: one
    for one in (
        Symbol("leader", "component", ("master", "component", "client"), "the master whose process leads", _leader),
        Symbol("controller", "controller", ("actor", "component", "master", "client"), "a controller, or where it runs", _controller),
        Symbol("minority", "", ("master", "node"), "fewer than half", _minority),
        Symbol("majority", "", ("master", "node"), "more than half", _majority),
        Symbol("server-of", "client", ("master", "client"), "the API server that a node, a component's leader or the user talks to", _server_of),
        Symbol("zone", "zone", _WHERE, "a zone, or all its nodes", _zone),
        Symbol("node-of", "workload", _WHERE, "the node, or zone, of a workload's first ready pod", _node_of),
        Symbol("any-node", "n", _WHERE, "the n-th node with pods", _any_node),
        Symbol("owner", "name", ("workload",), "the workload of that name, or of a pod", _owner),
        Symbol("pod-of", "workload, n", ("pod",), "one pod of a workload", _pod_of),
    )
}  # fmt: skip
"""All words. The sort ``pod`` is what a fault takes that takes one pod of a workload."""


def resolve(cluster: Cluster, kind: Kind[Cluster], sort: str, text: str, of: str = "") -> Resolved:
    """Return what a target is now. ``of``: what an argument without its own means, such as ``server-of()``."""
    call = Call.of(text)
    if call is None or call.word not in SYMBOLS:
        return Resolved((text,))
    symbol = SYMBOLS[call.word]
    return symbol.resolve(cluster, call.argument or of, sort)


def words_for(kind: Kind[Any], sort: str) -> list[str]:
    """Return the words that can stand for a target of a sort."""
    sorts = (sort, "pod") if sort == "workload" and kind.one_pod else (sort,)
    return [one.word for one in SYMBOLS.values() if any(sort in one.sorts for sort in sorts)]


def check(kind: Kind[Any], sort: str, text: str, scope: Scope, own: bool = True) -> None:
    """Refuse a target that can mean nothing in a scenario. Raises InvalidScenario.

    ``own``: it is the step's target, not an argument, whose empty brackets mean that target.
    """
    call = Call.of(text)
    if call is not None:
        _check_call(kind, sort, call, scope, own)
    elif "(" in text:
        raise InvalidScenario(f"not a symbolic target: {text}", hint=f"write one word with brackets: {_forms(words_for(kind, sort))}")
    elif sort == "workload":
        parts(text)
        if not any(text.startswith(one) for one in scope["generated"]):
            _one_of(sort, text, scope[sort])
    elif sort != "actor":
        _one_of(sort, text, scope[sort])


def _forms(words: Iterable[str]) -> str:
    return ", ".join(f"{word}({SYMBOLS[word].argument})" for word in words)


def _check_call(kind: Kind[Any], sort: str, call: Call, scope: Scope, own: bool) -> None:
    fitting = words_for(kind, sort)
    if call.word not in SYMBOLS:
        raise InvalidScenario(f"no symbolic target {call.word}(…)", hint=near(call.word, fitting or SYMBOLS))
    if call.word not in fitting:
        hint = f"known: {_forms(fitting)}" if fitting else f"write the name of a {sort}"
        raise InvalidScenario(f"{call.word}(…) is no {sort}, which {kind.name} needs", hint=hint)
    wanted = SYMBOLS[call.word].argument
    if not call.argument and wanted and wanted != "n" and own:
        what = wanted.removesuffix(", n")
        raise InvalidScenario(f"{call.word}(…) needs a {what} in its brackets", hint=f"write for example {_example(wanted, scope)}")
    if call.argument and not wanted:
        raise InvalidScenario(f"{call.word}() takes nothing in its brackets", hint=f"write {call.word}()")
    if call.argument:
        _CHECKS.get(wanted, _any)(call, scope)


def _example(wanted: str, scope: Scope) -> str:
    found = {
        "component": MANAGER, "controller": "deployment", "client": SCHEDULER, "zone": next(iter(scope["zone"]), "zone-a"), "name": "web",
    }  # fmt: skip
    return found.get(wanted) or next(iter(scope["workload"]), "Deployment/default/web")


def _any(call: Call, scope: Scope) -> None:
    """Take anything."""


def _one_of(what: str, name: str, names: Iterable[str]) -> None:
    names = list(names)
    if name not in names:
        raise InvalidScenario(f"no {what} {name} in this scenario", hint=near(name, names))


def _check_controller(call: Call, scope: Scope) -> None:
    if not actor_of(call.argument):
        raise InvalidScenario(f"no controller {call.argument}", hint=near(call.argument, (one.name for one in CONTROLLERS)))


def _check_number(call: Call, scope: Scope) -> None:
    if not call.argument.isdecimal() or int(call.argument) < 1:
        raise InvalidScenario(f"{call.word}({call.argument}): must be a whole number, 1 or more", hint=f"write {call.word}(1)")


def _check_pods(call: Call, scope: Scope) -> None:
    target, _, number = call.argument.partition(",")
    if number and SYMBOLS[call.word].argument == "workload, n":
        _check_number(Call(call.word, number.strip()), scope)
        target = target.strip()
    elif number:
        raise InvalidScenario(f"{call.word} takes one workload", hint=f"write {call.word}({target})")
    if not target.startswith("Pod/"):  # the names of pods are only known when they are made
        _one_of("workload", target, scope["workload"])


def _check_name(call: Call, scope: Scope) -> None:
    if call.argument.startswith("Pod/"):
        return
    ends = [name for one in scope["workload"] for name in (one.partition("/")[2], one.rpartition("/")[2])]
    _one_of("workload named", call.argument, dict.fromkeys(ends))


def _check_zone(call: Call, scope: Scope) -> None:
    zones = list(scope["zone"])
    if f"zone-{call.argument}" not in zones:
        _one_of("zone", call.argument, zones)


_CHECKS: dict[str, Callable[[Call, Scope], None]] = {
    "component": lambda call, scope: _one_of("component", call.argument, COMPONENTS),
    "client": lambda call, scope: _one_of("node or component", call.argument, [*scope["node"], *COMPONENTS, "user"]),
    "controller": _check_controller, "n": _check_number, "workload": _check_pods, "workload, n": _check_pods, "name": _check_name, "zone": _check_zone,
}  # fmt: skip
