"""A saved scenario as something that can run: what it says of noise, steps and their targets is checked before anything runs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kchaos.engine.kubernetes import System
from kchaos.engine.sweep import FIXED
from kchaos.engine.system import of_scenario
from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.resources import RESOURCES
from kchaos.models.api.schema import misfits
from kchaos.models.api.tree import Obj, get
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.targets import parts
from kchaos.models.manifests.quantities import unreadable
from kchaos.models.topology import NodeSpec
from kchaos.scenario import Nth, Scenario, Step, load, wrong
from kchaos.sim.noise import Noise

_REQUESTS = ("code", "phase", "every", "n")
EXTRA = {
    "slow-start": ("extra_s",), "rollback": ("after_s",), "probe-flap": ("for_s",), "scale-up": ("by",), "scale-down": ("by",),
    "network-delay": ("delay_s", "jitter_s"), "network-loss": ("loss",), "clock-skew": ("by_s",), "clock-behind": ("by_s",),
    "clock-drift": ("rate",), "request-refused": _REQUESTS, "request-conflict": _REQUESTS, "request-throttled": _REQUESTS,
    "request-failed-after-commit": _REQUESTS, "answer-lost": _REQUESTS, "store-full": _REQUESTS,
}  # fmt: skip
"""Arguments beside ``target`` that a fault understands."""


class Range(NamedTuple):
    """What a number may be."""

    low: float
    high: float = math.inf
    whole: bool = False

    def words(self) -> str:
        """Return it in words."""
        sort = "a whole number" if self.whole else "a number"
        if self.low == -math.inf:
            return sort
        return f"{sort}, {self.low:g} or more" if self.high == math.inf else f"{sort} from {self.low:g} to {self.high:g}"

    def has(self, value: Any) -> bool:
        """Tell whether a value is one of them."""
        sort = int if self.whole else (int, float)
        return isinstance(value, sort) and not isinstance(value, bool) and math.isfinite(value) and self.low <= value <= self.high


RANGES = {
    "by": Range(1, whole=True), "loss": Range(0, 1), "by_s": Range(-math.inf), "rate": Range(0.01, 100), "code": Range(0, 599, whole=True),
    "every": Range(1, whole=True), "n": Range(0, whole=True),
}  # fmt: skip
"""What arguments may be; others are seconds, 0 or more."""
EVENT = ("on", "verb", "resource", "subresource", "name", "namespace", "actor", "type", "key")


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
    for index, step in enumerate(steps):
        _step(f"steps[{index}]", step, system)


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
                raise InvalidScenario(f"topology.nodes[{index}].{name} is not known", hint=_near(name, known))
    for name in topology:
        if name not in ("nodes", "masters"):
            raise InvalidScenario(f"topology.{name} is not known", hint="known: nodes, masters")


def _step(where: str, step: Step, system: System) -> None:
    kind = catalog().get(step.do)
    target = step.args.get("target")
    if not isinstance(target, str) or not target:
        what = {"workload": "Deployment/default/web"}.get(kind.target, f"the name of a {kind.target}")
        raise InvalidScenario(f"{where}: {step.do} needs args.target", hint=f"write {what}")
    known = ("target", *EXTRA.get(step.do, ()))
    for name, value in step.args.items():
        if name not in known:
            raise InvalidScenario(f"{where}: args.{name} is not known to {step.do}", hint=_near(name, known))
        if name == "phase" and value not in ("before", "after"):
            raise InvalidScenario(f"{where}: args.phase must be before or after", hint="before or after the commit")
        if name not in ("target", "phase"):
            fits = RANGES.get(name, Range(0))
            if not fits.has(value):
                raise InvalidScenario(f"{where}: args.{name} must be {fits.words()}", hint=f"write for example {name}: 1")
    if isinstance(step.when, Nth):
        for name in step.when.event:
            if name not in EVENT:
                raise InvalidScenario(f"{where}: when.event.{name} is not known", hint=_near(name, EVENT))
    if kind.target == "node":
        _among(where, "node", target, (node.name for node in system.topology.nodes))
    elif kind.target == "zone":
        _among(where, "zone", target, system.topology.zones)
    elif kind.target == "master":
        _among(where, "master", target, (f"master-{index}" for index in range(system.topology.masters)))
    elif kind.target in ("component", "cluster"):
        _among(where, kind.target, target, FIXED[kind.target])
    elif kind.target == "resource":
        _among(where, "resource", target, (one.plural for one in RESOURCES))
    elif kind.target == "workload":
        parts(target)
        objects = [*system.objects, *system.context]
        if not any(obj["metadata"].get("generateName") and target.startswith(_id(obj)) for obj in objects):
            _among(where, "workload", target, map(_id, objects))


def _among(where: str, what: str, target: str, names: Iterable[str]) -> None:
    names = list(names)
    if target not in names:
        raise InvalidScenario(f"{where}: no {what} {target} in this scenario", hint=_near(target, names))


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names[:6])}"


def _id(obj: Obj) -> str:
    meta: Any = obj["metadata"]
    return f"{obj['kind']}/{get(obj, 'metadata', 'namespace', default='default')}/{meta.get('name') or meta.get('generateName', '')}"
