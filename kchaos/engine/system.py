"""The inputs of a scenario as JSON, and the system they make: a replay builds exactly what the first run built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kchaos.canonical import digest, encode
from kchaos.engine.booting import System
from kchaos.engine.settings import Settings
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import constants
from kchaos.models.cluster import AssumptionTable
from kchaos.models.node.assumptions import Assumptions, assume
from kchaos.models.topology import Topology
from kchaos.properties.own.declared import Declared, property_of
from kchaos.scenario import Scenario, wrong

PROPERTIES = "properties"
DEFAULT_CLASS_MARK = "storageclass.kubernetes.io/is-default-class"
DEFAULT_CLASS: Obj = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS_MARK: "true"}},
    "provisioner": "zonal-disk.kchaos.io", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
}  # fmt: skip
"""The class of claims that name none: a zonal disk, made where its first pod goes. Stated among the assumptions."""


def inputs_of(
    objects: Sequence[Obj], context: Sequence[Obj], settings: Settings, kubernetes: str, declared: Sequence[Declared] | None = None
) -> dict[str, Any]:
    """Return the inputs of a scenario. ``declared``: the properties of users, else those of the settings."""
    own = settings.declared() if declared is None else declared
    everything = [*objects, *context]
    marked = any(
        one["kind"] == "StorageClass" and get(one, "metadata", "annotations", default={}).get(DEFAULT_CLASS_MARK) == "true"
        for one in everything
    )
    return {
        "kubernetes": kubernetes,
        "objects": list(objects),
        "context": [*context, *([] if marked else [DEFAULT_CLASS])],
        "assumptions": {"defaults": settings.defaults, "workloads": settings.workloads},
        **({"webhooks": settings.webhooks} if settings.webhooks else {}),
        **({PROPERTIES: msgspec.to_builtins(list(own))} if own else {}),
    }


def build(topology: Mapping[str, Any], inputs: Mapping[str, Any]) -> System:
    """Return the system of a scenario's topology and inputs. Raises InvalidScenario."""
    plain: dict[str, Any] = msgspec.json.decode(encode(dict(inputs)))
    try:
        machines = msgspec.convert(msgspec.json.decode(encode(dict(topology))), Topology)
        raw = plain["assumptions"]
        settings = Settings(defaults=raw["defaults"], workloads=raw["workloads"], webhooks=plain.get("webhooks", {}))
        answers = settings.answers()
        base = settings.default()
        table = {key: assume(base, own) for key, own in raw["workloads"].items()}
        objects, context = plain["objects"], plain["context"]
        declared = msgspec.convert(plain.get(PROPERTIES, []), list[Declared])
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        why = (
            wrong(error)
            if isinstance(error, msgspec.ValidationError)
            else f"{error} is missing"
            if isinstance(error, KeyError)
            else str(error)
        )
        raise InvalidScenario(f"the scenario's inputs can't be used: {why}", hint="run `kchaos run` again to write it anew") from error
    starts = {"*": base.start_s, **{key: own.start_s for key, own in table.items()}}
    expected = {**settings.expectations(), **_requests(objects, table, base), "start_s": starts}
    assumed = AssumptionTable(table, base)
    expected["calls"] = bool(assumed.calls)
    run_by = {key: value for key, value in plain.items() if key != PROPERTIES}  # a run does not depend on who judges it
    stamp = digest([run_by, msgspec.to_builtins(machines)])
    own = [property_of(one) for one in declared]
    return System(objects, machines, constants(plain["kubernetes"]), assumed, expected, context, stamp, plain, answers, own)


def _requests(objects: Sequence[Obj], table: Mapping[str, Assumptions], base: Assumptions) -> dict[str, Any]:
    """Return requests per second by Service, which Services' clients keep their connections, and which headless ones look-ups keep for long.

    What is said of the Service's own name counts, else of a workload that it selects.
    """
    rates: dict[str, float] = {}
    kept: list[str] = []
    looked_up: dict[str, float] = {}
    for one in objects:
        if one["kind"] != "Service":
            continue
        meta = one["metadata"]
        space = meta.get("namespace", "default")
        key = f"{space}/{meta.get('name', '')}"
        selector = get(one, "spec", "selector", default={})
        found = base
        for other in objects:
            labels = get(other, "spec", "template", "metadata", "labels", default=None)
            own = f"{space}/{other['metadata'].get('name', '')}"
            if labels and own in table and other["metadata"].get("namespace", "default") == space and selector.items() <= labels.items():
                found = table[own]
        found = table.get(key, found)
        rates[key] = found.requests_per_s
        if found.keeps_connections:
            kept.append(key)
        if found.resolver_cache_s is not None and get(one, "spec", "clusterIP") == "None":
            looked_up[key] = found.resolver_cache_s
    return {"rates": rates, "kept": kept, "looked_up": looked_up}


def of_scenario(scenario: Scenario) -> System:
    """Return the system that a saved scenario describes."""
    if scenario.system != "kubernetes":
        raise InvalidScenario(
            f"a scenario for {scenario.system!r}, which this kchaos does not know", hint="this kchaos runs system: kubernetes"
        )
    return build(scenario.topology, scenario.inputs)
