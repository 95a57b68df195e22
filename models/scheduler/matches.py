"""Which placed pods match which selectors, counted per node as pods come and go.

This takes the place of upstream's walk over all pods of all nodes in every cycle (podtopologyspread: countPodsMatchSelector,
interpodaffinity: getIncomingAffinityAntiAffinityCounts and getExistingAntiAffinityCounts); the counts are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from kchaos.canonical import encode
from kchaos.models.api.selectors import Predicate, compile_selector
from kchaos.models.api.tree import Obj
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.podinfo import PodInfo

NamespaceLabels = Callable[[str], Mapping[str, str]]
LIMIT = 512

REQUIRED_AFFINITY, PREFERRED_AFFINITY, REQUIRED_ANTI, PREFERRED_ANTI = range(4)


def merged_selector(selector: Obj | None, tags: Mapping[str, str], same: list[str], other: list[str]) -> Obj | None:
    """Return a selector with matchLabelKeys and mismatchLabelKeys worked in, as the API server does when a pod is created."""
    extra = [{"key": k, "operator": "In", "values": [tags[k]]} for k in same if k in tags]
    extra += [{"key": k, "operator": "NotIn", "values": [tags[k]]} for k in other if k in tags]
    if not extra or selector is None:
        return selector
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}


class Places:
    """The labels of the nodes; ``version`` changes with them."""

    def __init__(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._nodes = nodes
        self.version = 0

    def label(self, node: str, topology: str) -> str | None:
        """Return the value of a node's label, None if there is none."""
        found = self._nodes.get(node)
        return found.labels.get(topology) if found is not None else None


class Term:
    """A pod affinity term, with the namespaces that it means resolved (framework.AffinityTerm)."""

    __slots__ = ("_namespaces", "_selector", "_spaces", "key", "topology")

    def __init__(self, key: bytes) -> None:
        namespaces, spaces, selector, topology = msgspec.json.decode(key)
        self.key = key
        self.topology: str = topology
        self._namespaces: list[str] = namespaces
        self._spaces: Predicate | None = compile_selector(spaces) if spaces is not None else None
        self._selector = compile_selector(selector)

    def matches(self, space: str, tags: Mapping[str, str], of: NamespaceLabels) -> bool:
        """Tell whether a pod with these labels in that namespace is meant."""
        if space not in self._namespaces and (self._spaces is None or not self._spaces(of(space))):
            return False
        return self._selector(tags)


@lru_cache(maxsize=8192)
def term(key: bytes) -> Term:
    """Return the term written as ``key``."""
    return Term(key)


def term_key(one: Obj, space: str, tags: Mapping[str, str]) -> bytes:
    """Return the canonical form of a term of a pod in namespace ``space`` with labels ``tags``."""
    namespaces = sorted(one.get("namespaces") or ())
    spaces = one.get("namespaceSelector")
    if not namespaces and spaces is None:
        namespaces = [space]
    selector = merged_selector(one.get("labelSelector"), tags, one.get("matchLabelKeys") or [], one.get("mismatchLabelKeys") or [])
    return encode([namespaces, spaces, selector, one["topologyKey"]])


_PARTS = (
    ("podAffinity", "requiredDuringSchedulingIgnoredDuringExecution", REQUIRED_AFFINITY),
    ("podAffinity", "preferredDuringSchedulingIgnoredDuringExecution", PREFERRED_AFFINITY),
    ("podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution", REQUIRED_ANTI),
    ("podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution", PREFERRED_ANTI),
)


def terms_of(info: PodInfo) -> list[tuple[int, bytes, int]]:
    """Return (kind, term, weight) of each pod affinity term of a pod."""
    if info.terms is not None:
        return info.terms
    out: list[tuple[int, bytes, int]] = []
    info.terms = out
    for side, when, kind in _PARTS:
        for one in (info.affinity.get(side) or {}).get(when) or ():
            weighted = kind in (PREFERRED_AFFINITY, PREFERRED_ANTI)
            inner = one["podAffinityTerm"] if weighted else one
            out.append((kind, term_key(inner, info.namespace, info.labels), int(one["weight"]) if weighted else 1))
    return out


class Tally:
    """A number of pods, by node and, once asked for, by the value of a label of the nodes."""

    __slots__ = ("_by_value", "_places", "by_node")

    def __init__(self, places: Places) -> None:
        self._places = places
        self.by_node: dict[str, int] = {}
        self._by_value: dict[str, tuple[int, dict[str, int]]] = {}

    def add(self, node: str, sign: int) -> None:
        """Count one pod in or out."""
        _step(self.by_node, node, sign)
        for topology, (version, counts) in self._by_value.items():
            if version == self._places.version:
                value = self._places.label(node, topology)
                if value is not None:
                    _step(counts, value, sign)

    def by_value(self, topology: str) -> dict[str, int]:
        """Return the pods by the value of a label; only values with pods are listed."""
        found = self._by_value.get(topology)
        if found is None or found[0] != self._places.version:
            counts: dict[str, int] = {}
            for node, count in self.by_node.items():
                value = self._places.label(node, topology)
                if value is not None:
                    counts[value] = counts.get(value, 0) + count
            found = self._by_value[topology] = (self._places.version, counts)
        return found[1]


def _step(counts: dict[str, int], key: str, sign: int) -> None:
    count = counts.get(key, 0) + sign
    if count:
        counts[key] = count
    else:
        del counts[key]


class Counter(Tally):
    """Pods that match. ``alive``: terminating ones do not count."""

    __slots__ = ("alive", "test")

    def __init__(self, places: Places, test: Callable[[str, Mapping[str, str]], bool], alive: bool) -> None:
        super().__init__(places)
        self.test = test
        self.alive = alive


class Group(Tally):
    """The same affinity term on placed pods: how many of them."""

    __slots__ = ("kind", "term", "weight")

    def __init__(self, places: Places, kind: int, key: bytes, weight: int) -> None:
        super().__init__(places)
        self.kind = kind
        self.term = term(key)
        self.weight = weight


class Matches:
    """All counters and groups of one scheduler."""

    def __init__(self, namespace_labels: NamespaceLabels, nodes: Mapping[str, NodeInfo]) -> None:
        self._of = namespace_labels
        self.places = Places(nodes)
        self._placed: dict[str, tuple[PodInfo, str]] = {}
        self._counters: dict[bytes, Counter] = {}
        self._memo: dict[tuple[str, bytes], list[Counter]] = {}
        self.groups: dict[tuple[int, bytes, int], Group] = {}
        self.version = 0
        """Changes when groups come or go, or namespaces change their labels."""

    def forget_namespaces(self) -> None:
        """Start over: labels of namespaces have changed."""
        self._counters.clear()
        self._memo.clear()
        self.version += 1

    # -- placed pods ---------------------------------------------------------------------------------------------------

    def add(self, info: PodInfo, node: str) -> None:
        """Count a pod in."""
        self._placed[info.uid] = (info, node)
        self._count(info, node, 1)

    def remove(self, info: PodInfo, node: str) -> None:
        """Count a pod out."""
        del self._placed[info.uid]
        self._count(info, node, -1)

    def _count(self, info: PodInfo, node: str, sign: int) -> None:
        for counter in self._matching(info):
            if not (counter.alive and info.terminating):
                counter.add(node, sign)
        if not info.affinity:
            return
        for key in terms_of(info):
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Group(self.places, *key)
                self.version += 1
            group.add(node, sign)
            if not group.by_node:
                del self.groups[key]
                self.version += 1

    def _matching(self, info: PodInfo) -> list[Counter]:
        found = self._memo.get(info.label_key)
        if found is None:
            if len(self._memo) > 20_000:
                self._memo.clear()
            found = [c for c in self._counters.values() if c.test(info.namespace, info.labels)]
            self._memo[info.label_key] = found
        return found

    # -- counters ------------------------------------------------------------------------------------------------------

    def _counter(self, key: bytes, make: Callable[[], Callable[[str, Mapping[str, str]], bool]], alive: bool) -> Counter:
        found = self._counters.get(key)
        if found is None:
            if len(self._counters) >= LIMIT:
                for old in list(self._counters)[: LIMIT // 2]:
                    del self._counters[old]
                self._memo.clear()
            found = self._counters[key] = Counter(self.places, make(), alive)
            answers: dict[tuple[str, bytes], bool] = {}
            for info, node in self._placed.values():
                hit = answers.get(info.label_key)
                if hit is None:
                    hit = answers[info.label_key] = found.test(info.namespace, info.labels)
                if hit and not (alive and info.terminating):
                    found.add(node, 1)
            for (space, encoded), counters in self._memo.items():
                hit = answers.get((space, encoded))
                if hit is None:
                    hit = found.test(space, msgspec.json.decode(encoded))
                if hit:
                    counters.append(found)
        return found

    def selected(self, space: str, selectors: list[Obj | None]) -> dict[str, int]:
        """Return, by node, the live pods of a namespace that match all ``selectors`` (countPodsMatchSelector)."""

        def make() -> Callable[[str, Mapping[str, str]], bool]:
            tests = [compile_selector(one) for one in selectors]
            return lambda where, tags: where == space and all(test(tags) for test in tests)

        return self._counter(encode(["live", space, selectors]), make, True).by_node

    def meant(self, keys: list[bytes]) -> Counter:
        """Return the pods that match all of these terms."""

        def make() -> Callable[[str, Mapping[str, str]], bool]:
            all_terms = [term(key) for key in keys]
            return lambda where, tags: all(one.matches(where, tags, self._of) for one in all_terms)

        return self._counter(b"terms" + b"\n".join(keys), make, False)

    def self_match(self, keys: list[bytes], info: PodInfo) -> bool:
        """Tell whether the pod matches all of these terms itself."""
        return all(term(key).matches(info.namespace, info.labels, self._of) for key in keys)

    def groups_meaning(self, info: PodInfo) -> list[Group]:
        """Return the groups of placed pods whose term means this pod."""
        return [g for g in self.groups.values() if g.term.matches(info.namespace, info.labels, self._of)]
