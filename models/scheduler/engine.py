"""INTERIM placement engine."""

from __future__ import annotations

import random
from typing import NamedTuple

from kchaos.models.api.pods import uid
from kchaos.models.api.quantity import milli
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.quota import pod_resources
from kchaos.models.client.informer import Informers
from kchaos.models.scheduler.volumes import VolumeAction


class Decision(NamedTuple):
    node: str | None
    reason: str = ""
    message: str = ""
    nominated: str | None = None
    victims: tuple[Obj, ...] = ()
    volumes: tuple[VolumeAction, ...] = ()


class Engine:
    def __init__(self, informers: Informers, rng: random.Random) -> None:
        self.informers = informers
        for r in (
            "nodes",
            "pods",
            "persistentvolumes",
            "persistentvolumeclaims",
            "storageclasses",
            "services",
            "replicasets",
            "statefulsets",
        ):
            informers.of(r)
        self.pending: dict[str, str] = {}
        self.nodes: dict[str, Obj] = {}
        self.used: dict[str, dict[str, int]] = {}
        self.placed: dict[str, tuple[str, dict[str, int]]] = {}

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> bool:
        if resource == "nodes":
            if new is None:
                self.nodes.pop(old["metadata"]["name"], None)
            else:
                self.nodes[new["metadata"]["name"]] = new
                return old is None or old["spec"] != new["spec"] or get(old, "metadata", "labels") != get(new, "metadata", "labels")
            return False
        return True

    def set_pod(self, pod: Obj) -> None:
        self.assume(pod, pod["spec"]["nodeName"])

    def assume(self, pod: Obj, node: str) -> None:
        k = uid(pod)
        if k in self.placed:
            if self.placed[k][0] == node:
                return
            self.remove_pod(pod)
        asked = {**pod_resources(pod["spec"], "requests"), "pods": 1000}
        self.placed[k] = (node, asked)
        u = self.used.setdefault(node, {})
        for n, a in asked.items():
            u[n] = u.get(n, 0) + a

    def forget(self, pod: Obj) -> None:
        self.remove_pod(pod)

    def remove_pod(self, pod: Obj) -> None:
        f = self.placed.pop(uid(pod), None)
        if f:
            for n, a in f[1].items():
                self.used[f[0]][n] -= a

    def decide(self, pod: Obj) -> Decision:
        asked = {**pod_resources(pod["spec"], "requests"), "pods": 1000}
        best = None
        for name, node in self.nodes.items():
            if node["spec"].get("unschedulable"):
                continue
            tol = pod["spec"].get("tolerations") or []
            bad = False
            for t in node["spec"].get("taints") or ():
                if t["effect"] == "PreferNoSchedule":
                    continue
                if not any(
                    (
                        (x.get("operator") == "Exists" and x.get("key") in (None, "", t["key"]))
                        or (x.get("key") == t["key"] and x.get("value", "") == t.get("value", ""))
                    )
                    and x.get("effect") in (None, "", t["effect"])
                    for x in tol
                ):
                    bad = True
            for k, v in (pod["spec"].get("nodeSelector") or {}).items():
                if node["metadata"].get("labels", {}).get(k) != v:
                    bad = True
            terms = get(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
            if terms and not any(all(name in f["values"] for f in t.get("matchFields") or ()) for t in terms):
                bad = True
            free = get(node, "status", "allocatable", default={})
            u = self.used.get(name, {})
            if bad or any(n in free and u.get(n, 0) + a > milli(free[n]) for n, a in asked.items()):
                continue
            score = (u.get("pods", 0), name)
            if best is None or score < best:
                best = score
        if best is None:
            return Decision(None, "Unschedulable", f"0/{len(self.nodes)} nodes are available.")
        return Decision(best[1])
