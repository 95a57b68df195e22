"""A laboratory for the placement engine: objects go in directly, without API server or time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kchaos.models.scheduler.engine import Decision, Engine

Obj = dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


class Listed:
    """Stands in for an informer."""

    def __init__(self) -> None:
        self.items: dict[str, Obj] = {}

    def get(self, key: str) -> Obj | None:
        return self.items.get(key)

    def values(self) -> list[Obj]:
        return list(self.items.values())

    def add_handler(self, handler: Any) -> None:
        self.handler = handler


class Lists:
    def __init__(self) -> None:
        self._by: dict[str, Listed] = {}

    def of(self, resource: str) -> Listed:
        return self._by.setdefault(resource, Listed())


class Lab:
    def __init__(self, seed: int = 0) -> None:
        self.lists = Lists()
        self.engine = Engine(self.lists, random.Random(seed))  # type: ignore[arg-type]
        self._number = 0

    def put(self, resource: str, obj: Obj) -> Obj:
        meta = obj["metadata"]
        space = meta.get("namespace")
        stored = {"spec": {}, **obj, "metadata": {"uid": f"{resource}/{meta['name']}", "resourceVersion": "1", **meta}}
        self.lists.of(resource).items[f"{space}/{meta['name']}" if space else meta["name"]] = stored
        return stored

    def node(self, called: str, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **extra: Any) -> None:
        tags = {HOST: called, **extra.pop("labels", {})}
        allocatable = {"cpu": cpu, "memory": memory, "pods": pods, **extra.pop("allocatable", {})}
        obj = self.put("nodes", {"metadata": {"name": called, "labels": tags}, "spec": extra, "status": {"allocatable": allocatable}})
        self.engine.changed("nodes", None, obj)

    def pod(self, cpu: str = "1", memory: str = "1Gi", labels: dict[str, str] | None = None, **spec: Any) -> Obj:
        self._number += 1
        container: Obj = {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
        if "ports" in spec:
            container["ports"] = spec.pop("ports")
        called = spec.pop("called", f"p{self._number}")
        meta = {
            "name": called,
            "namespace": spec.pop("space", "d"),
            "uid": f"u{self._number}",
            "labels": labels or {},
            **spec.pop("meta", {}),
        }
        return {"metadata": meta, "spec": {"containers": [container], **spec}, "status": {}}

    def decide(self, pod: Obj) -> Decision:
        self.lists.of("pods").items[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = pod
        return self.engine.decide(pod)

    def place(self, pod: Obj, node: str) -> Obj:
        bound = {**pod, "spec": {**pod["spec"], "nodeName": node}}
        self.lists.of("pods").items[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = bound
        self.engine.set_pod(bound)
        return bound

    def run(self, pod: Obj) -> str | None:
        """Decide and bind."""
        found = self.decide(pod).node
        if found is not None:
            self.engine.assume(pod, found)
        return found

    def why(self, pod: Obj) -> str:
        """Return the reasons only, without what is said about preemption."""
        decision = self.decide(pod)
        assert decision.node is None
        return decision.message.split(" no new claims")[0]


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def make_lab() -> type[Lab]:
    return Lab
