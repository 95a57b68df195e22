"""Placement: the default profile of kube-scheduler 1.34, one decision at a time (pkg/scheduler/schedule_one.go: schedulePod)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kchaos.canonical import encode
from kchaos.models.api.pods import name, notes_of, terminating, uid
from kchaos.models.api.tree import Obj, get
from kchaos.models.client.informer import Informers
from kchaos.models.controllers.volumes import SELECTED_NODE
from kchaos.models.scheduler.cache import Cache
from kchaos.models.scheduler.cycle import Cycle, enough
from kchaos.models.scheduler.nodefilters import Refusal
from kchaos.models.scheduler.nodeinfo import scheduling_change
from kchaos.models.scheduler.podinfo import PodInfo
from kchaos.models.scheduler.preemption import NOT_HELPFUL, not_eligible, search
from kchaos.models.scheduler.volumefilters import Assumed
from kchaos.models.scheduler.volumes import VolumeAction

WATCHED = ("nodes", "pods", "persistentvolumes", "persistentvolumeclaims", "storageclasses", "poddisruptionbudgets")
NO_NODES = "no nodes available to schedule pods"
PINNED = Refusal(("node(s) didn't satisfy plugin(s) [NodeAffinity]",), True)


Alike = tuple[bytes, tuple[str, bytes], bytes, int, str | None]


class Decision(NamedTuple):
    """A node and the writes that bind the pod's claims there; or why there is none, and whom to evict from ``nominated``."""

    node: str | None
    reason: str = ""
    message: str = ""
    nominated: str | None = None
    victims: tuple[Obj, ...] = ()
    volumes: tuple[VolumeAction, ...] = ()


class Engine:
    """What is placed where, and where the next pod goes. All randomness comes from ``rng``."""

    def __init__(self, informers: Informers, rng: random.Random) -> None:
        self.informers = informers
        self._rng = rng
        for resource in WATCHED:
            informers.of(resource)
        self.cache = Cache(informers)
        self.pending: dict[str, str] = {}
        """Keys of the pods that were tried and are not placed, by uid; kept by the caller."""
        self._start = 0
        self._nominated: dict[str, tuple[str, PodInfo]] = {}
        self._volumes: Assumed = {}
        self._claims: Assumed = {}
        self._last: Cycle | None = None
        self._changes = 0
        self._hopeless: tuple[tuple[int, int, int], dict[Alike, Decision]] = ((-1, -1, -1), {})

    # -- what happens in the cluster -----------------------------------------------------------------------------------

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> bool:
        """Take over a change of an object that is not a pod; tell whether it may let a waiting pod fit."""
        if resource == "nodes":
            if new is None:
                if old is not None:
                    self.cache.drop_node(name(old))
                return True
            known = self.cache.nodes.get(name(new))
            before = known.node if known is not None else None
            if not scheduling_change(before, new):
                return False
            self.cache.set_node(new)
            return True
        self._changes += 1
        if resource == "services":
            if old is None or new is None or old["spec"].get("selector") != new["spec"].get("selector"):
                self.cache.services_changed()
            return False
        return resource in ("persistentvolumes", "persistentvolumeclaims", "storageclasses") and new is not None

    def set_pod(self, pod: Obj) -> None:
        """Count a bound pod."""
        self.cache.place(pod, pod["spec"]["nodeName"])
        self._nominated.pop(uid(pod), None)

    def assume(self, pod: Obj, node: str) -> None:
        """Count a pod on the node just decided on."""
        info = self.cache.info(pod)
        if self._last is not None and self._last.info is info and self._last.volumes is not None:
            self._last.volumes.assume(info, node)
        self.cache.place(pod, node)
        self._nominated.pop(info.uid, None)

    def forget(self, pod: Obj) -> None:
        """Take back an assumption: the pod could not be bound."""
        self.remove_pod(pod)

    def remove_pod(self, pod: Obj) -> None:
        """Forget a pod that has ended, is deleted or was not bound."""
        key = uid(pod)
        self.cache.remove(key)
        self._nominated.pop(key, None)
        for table in (self._volumes, self._claims):
            for thing in [thing for thing, (_, owner) in table.items() if owner == key]:
                del table[thing]

    # -- one decision --------------------------------------------------------------------------------------------------

    def decide(self, pod: Obj) -> Decision:
        """Return where a pod goes, or why nowhere. Nothing is counted until :meth:`assume`."""
        cache = self.cache
        info = cache.info(pod)
        cache.refresh()
        self._settle()
        if not cache.order:
            return Decision(None, "Unschedulable", NO_NODES)
        if info.claims or self._nominated or get(pod, "status", "nominatedNodeName"):
            return self._decide(info)
        # the next of many pods that fit nowhere gets the answer of the one before, as long as nothing happens
        state = (cache.version, cache.matches.version, self._changes)
        if self._hopeless[0] != state:
            self._hopeless = (state, {})
        alike = _alike(info)
        found = self._hopeless[1].get(alike)
        if found is None:
            found = self._decide(info)
            if found.node is None and found.nominated is None:
                self._hopeless[1][alike] = found
        return found

    def _decide(self, info: PodInfo) -> Decision:
        cache = self.cache
        total = len(cache.order)
        cycle = self._last = Cycle(cache, info, self._volumes, self._claims)
        if cycle.problem:
            return Decision(None, "Unschedulable", f"0/{total} nodes are available: {cycle.problem}. not found")
        refusals: dict[str, Refusal] = {}
        chosen = self._nominated_first(cycle)
        if not chosen:
            chosen = self._fitting(cycle, refusals)
        if chosen:
            node = self._best(cycle, chosen)
            actions = cycle.volumes.actions(node) if cycle.volumes is not None else ()
            return Decision(node, volumes=actions)
        return self._refused(cycle, refusals)

    def _nominated_to(self, cycle: Cycle) -> dict[str, list[PodInfo]]:
        """Return the pods, by node, that wait for room there and are at least as important as this one."""
        out: dict[str, list[PodInfo]] = {}
        pods = self.informers.of("pods")
        for key, (node, info) in list(self._nominated.items()):
            now = pods.get(f"{info.namespace}/{name(info.pod)}")
            if now is None or uid(now) != key or now["spec"].get("nodeName") or terminating(now):
                del self._nominated[key]
            elif key != cycle.info.uid and info.priority >= cycle.info.priority:
                out.setdefault(node, []).append(info)
        return out

    def _own_nomination(self, info: PodInfo) -> str | None:
        if info.uid in self._nominated:
            return self._nominated[info.uid][0]
        told = get(info.pod, "status", "nominatedNodeName")
        return str(told) if told else None

    def _nominated_first(self, cycle: Cycle) -> list[int]:
        """Return the pod's nominated node if it fits there now (evaluateNominatedNode)."""
        wanted = self._own_nomination(cycle.info)
        node = self.cache.nodes.get(wanted) if wanted else None
        if node is None or node.node is None or (cycle.names is not None and node.name not in cycle.names):
            return []
        return [node.index] if cycle.refused_with(node, self._nominated_to(cycle).get(node.name, ())) is None else []

    def _fitting(self, cycle: Cycle, refusals: dict[str, Refusal]) -> list[int]:
        """Return enough nodes that fit, from where the last search ended (findNodesThatPassFilters)."""
        cache = self.cache
        nominated = self._nominated_to(cycle) if self._nominated else {}
        total = len(cache.order)
        if cycle.names is not None:
            named = [cache.nodes[one] for one in cycle.names if one in cache.nodes and cache.nodes[one].node is not None]
            chosen = []
            for node in named:
                refusal = cycle.refused_with(node, nominated.get(node.name, ()))
                if refusal is None:
                    chosen.append(node.index)
                else:
                    refusals[node.name] = refusal
            return chosen
        wanted, start = enough(total), self._start % total
        table = cycle.table
        order = [*range(start, total), *range(start)]
        if not cycle.depends_on_others and not nominated:
            refused = table.refused
            chosen = [i for i in order if refused[i] is None][:wanted]
            if not chosen:
                refusals.update((node.name, one) for node, one in zip(table.nodes, refused, strict=True) if one is not None)
        else:
            chosen = []
            for i in order:
                node = table.nodes[i]
                if node.name in nominated:
                    found = cycle.refused_with(node, nominated[node.name])
                else:
                    found = table.refused[i]
                    if found is None:
                        found = cycle.refused_by_others(node)
                if found is not None:
                    refusals[node.name] = found
                    continue
                chosen.append(i)
                if len(chosen) == wanted:
                    break
        if len(chosen) == wanted:
            self._start = (chosen[-1] + 1) % total
        return chosen

    def _best(self, cycle: Cycle, chosen: list[int]) -> str:
        """Return the node with the highest score, any of them if there are several (selectHost)."""
        order = self.cache.order
        if len(chosen) == 1:
            return order[chosen[0]].name
        scores = cycle.scores(chosen)
        high = max(scores)
        ties = [i for i, score in zip(chosen, scores, strict=True) if score == high]
        return order[ties[0] if len(ties) == 1 else ties[self._rng.randrange(len(ties))]].name

    # -- nowhere -------------------------------------------------------------------------------------------------------

    def _refused(self, cycle: Cycle, refusals: Mapping[str, Refusal]) -> Decision:
        """Return why a pod fits nowhere, and whom to evict for it (RunPostFilterPlugins)."""
        cache, info = self.cache, cycle.info
        total = len(cache.order)
        text = report(total, refusals.values(), PINNED.reasons[0])
        own = self._own_nomination(info)
        reason = not_eligible(info, cache.nodes.get(own) if own else None, refusals.get(own) if own else None)
        if reason:
            return Decision(None, "Unschedulable", f"{text} no new claims to deallocate, preemption: {reason}")
        nominated = self._nominated_to(cycle)
        budgets = list(self.informers.of("poddisruptionbudgets").items.values())
        best, answers = search(cycle, cache, refusals, budgets, lambda node: nominated.get(node, []), self._rng)
        if best is None:
            self._nominated.pop(info.uid, None)
            hopeless = report(total, answers.values(), NOT_HELPFUL)
            return Decision(None, "Unschedulable", f"{text} no new claims to deallocate, preemption: {hopeless}")
        for key, (node, other) in list(self._nominated.items()):
            if node == best.node.name and other.priority < info.priority:
                del self._nominated[key]
        self._nominated[info.uid] = (best.node.name, info)
        return Decision(None, "Unschedulable", text, best.node.name, tuple(one.pod for one in best.victims))

    def _settle(self) -> None:
        """Drop assumptions about volumes that the API has taken over."""
        if not self._volumes and not self._claims:
            return
        volumes, claims = self.informers.of("persistentvolumes"), self.informers.of("persistentvolumeclaims")
        for key in list(self._volumes):
            volume = volumes.get(key)
            if volume is None or volume["spec"].get("claimRef"):
                del self._volumes[key]
        for key in list(self._claims):
            claim = claims.get(key)
            if claim is None or claim["spec"].get("volumeName") or SELECTED_NODE in notes_of(claim):
                del self._claims[key]


def _alike(info: PodInfo) -> Alike:
    """Return what two pods must have in common to fit the same nodes and be refused in the same words."""
    return (info.shape.key, info.label_key, encode([info.affinity, info.spread]), info.priority, info.pod["spec"].get("preemptionPolicy"))


def report(total: int, refusals: Iterable[Refusal], absent: str) -> str:
    """Return the words of a FitError: reasons with their counts, sorted as text; ``absent`` is that of nodes without a refusal."""
    counts: dict[str, int] = {}
    seen = 0
    for one in refusals:
        seen += 1
        for reason in one.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    if seen < total:
        counts[absent] = counts.get(absent, 0) + total - seen
    parts = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{total} nodes are available: {', '.join(parts)}."
