"""A saved scenario as something that can run: what it says of noise, steps and their targets is checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kchaos.engine.booting import CONFIGURATIONS, System
from kchaos.engine.sweep import FIXED, webhook_places
from kchaos.engine.system import of_scenario
from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.quantities import unreadable
from kchaos.models.api.resources import RESOURCES, by_kind
from kchaos.models.api.schema import misfits
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import Store
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.jobs import job_of
from kchaos.models.faults.objects import ident, place
from kchaos.models.faults.symbols import OWNERS, Scope, check
from kchaos.models.topology import NodeSpec
from kchaos.nemesis.arguments import near
from kchaos.scenario import Nth, Scenario, Step, load, wrong
from kchaos.sim.noise import Noise

PLURALS = tuple(one.plural for kind in (*OWNERS, *CONFIGURATIONS) if (one := by_kind(None, kind)) is not None)
"""Resources whose objects steps name."""
EVENT = ("on", "verb", "resource", "subresource", "name", "namespace", "actor", "type", "key", "phase")


def load_system(path: Path) -> tuple[Scenario, System]:
    """Return a scenario and its system. Raises InvalidScenario with the file for anything that can't run."""
    scenario = load(path)
    try:
        return scenario, checked(scenario)
    except InvalidScenario as error:
        raise InvalidScenario(error.message, location=Location(str(path)), hint=error.hint) from error


def checked(scenario: Scenario) -> System:
    """Return the system of a scenario whose steps and noise make sense. Raises InvalidScenario."""
    try:
        msgspec.convert(scenario.noise, Noise)
    except msgspec.ValidationError as error:
        hint = "the type is quiet, seeded (with seed and p) or deviations"
        raise InvalidScenario(f"not a valid scenario: {wrong(error, 'noise')}", hint=hint) from error
    for name in ("objects", "context"):
        _objects(f"inputs.{name}", scenario.inputs.get(name))
    _nodes(scenario.topology)
    system = of_scenario(scenario)
    check_steps(scenario.steps, system)
    return system


def check_steps(steps: Sequence[Step], system: System) -> None:
    """Raise InvalidScenario if a step makes no sense in a system: an unknown fault, argument or target."""
    scope = scope_of(system)
    for index, step in enumerate(steps):
        _step(f"steps[{index}]", step, scope)
        if step.do == "apply":  # what one step applies, a later one may name
            made = _id(_applied(f"steps[{index}]", step))
            scope = {**scope, "workload": [*scope["workload"], made]}


def check_now(step: Step, system: System, store: Store) -> None:
    """Raise InvalidScenario if a step makes no sense in a cluster as it is now: its target was neither given nor has been made since."""
    try:
        check_steps((step,), system)
    except InvalidScenario:
        made = [obj for plural in PLURALS for _, obj in sorted(store.table(plural).items())]
        try:
            check_steps((step,), system._replace(objects=[*system.objects, *made]))
        except InvalidScenario as error:
            raise InvalidScenario(error.message.removeprefix("steps[0]: "), hint=error.hint) from None


def _objects(where: str, found: Any) -> None:
    if not isinstance(found, list):
        raise InvalidScenario(f"{where} must be a list of Kubernetes objects", hint="run `kchaos run` again to write it anew")
    for index, obj in enumerate(found):
        at = f"{where}[{index}]"
        is_object = isinstance(obj, dict) and isinstance(obj.get("metadata"), dict)
        if not is_object or not all(isinstance(obj.get(key), str) and obj[key] for key in ("apiVersion", "kind")):
            raise InvalidScenario(f"{at} is no Kubernetes object", hint="write apiVersion, kind and metadata")
        for one in [bad for bad in misfits(obj) if not bad.unknown] or unreadable(obj):
            raise InvalidScenario(f"{at}: {one.message}", hint=one.hint)


def _nodes(topology: dict[str, Any]) -> None:
    known = [field.name for field in msgspec.structs.fields(NodeSpec)]
    nodes = topology.get("nodes")
    for index, node in enumerate(nodes if isinstance(nodes, list) else ()):
        for name in node if isinstance(node, dict) else ():
            if name not in known:
                raise InvalidScenario(f"topology.nodes[{index}].{name} is not known", hint=near(name, known))
    for name in topology:
        if name not in ("nodes", "masters"):
            raise InvalidScenario(f"topology.{name} is not known", hint="known: nodes, masters")


def _step(where: str, step: Step, scope: Scope) -> None:
    kind = catalog().get(step.do)
    target = step.args.get("target")
    if not isinstance(target, str) or not target:
        what = {"workload": "Deployment/default/web"}.get(kind.target, f"the name of a {kind.target}")
        raise InvalidScenario(f"{where}: {step.do} needs args.target", hint=f"write {what}")
    if isinstance(step.when, Nth):
        for name in step.when.event:
            if name not in EVENT:
                raise InvalidScenario(f"{where}: when.event.{name} is not known", hint=near(name, EVENT))
    try:
        args = kind.complete(step.args)
        if kind.target == "object":
            place(target)
        else:
            check(kind, kind.target, target, scope)
        for one in kind.arguments:
            if one.target:
                check(kind, one.target, args[one.name], scope, own=False)
    except InvalidScenario as error:
        raise InvalidScenario(f"{where}: {error.message}", hint=error.hint) from error


def _applied(where: str, step: Step) -> Obj:
    """Return the object of a step that applies one, checked."""
    obj: Obj = step.args["object"]
    _objects(f"{where}.args.object", [obj])
    target = step.args["target"]
    if not obj["metadata"].get("name") or ident(obj) != target:
        raise InvalidScenario(
            f"{where}: args.target is {target}, but args.object is another", hint="write the object's Kind/namespace/name"
        )
    return obj


def scope_of(system: System) -> Scope:
    """Return what targets of each sort exist in a system."""
    return {
        **FIXED,
        "node": [node.name for node in system.topology.nodes],
        "zone": system.topology.zones,
        "master": [f"master-{index}" for index in range(system.topology.masters)],
        "client": [
            *(node.name for node in system.topology.nodes),
            *(f"master-{index}" for index in range(system.topology.masters)),
            "user",
        ],
        "resource": [one.plural for one in RESOURCES],
        "webhook": ["*", *webhook_places([*system.objects, *system.context])],
        "workload": [
            name
            for obj in [*system.objects, *system.context]
            for name in ([_id(obj), job_of(_id(obj))] if obj["kind"] == "CronJob" else [_id(obj)])
        ],
        "generated": [_id(obj) for obj in [*system.objects, *system.context] if obj["metadata"].get("generateName")],
    }


def _id(obj: Obj) -> str:
    meta: Any = obj["metadata"]
    return f"{obj['kind']}/{get(obj, 'metadata', 'namespace', default='default')}/{meta.get('name') or meta.get('generateName', '')}"
