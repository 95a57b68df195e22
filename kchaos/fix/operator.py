"""What an operator does where no edit of the files helps: commands by rule, each given in the simulation after the fault.

A command is shown only if all pods of the workload are ready again after it, while the fault still lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from kchaos.engine.cases import Case, Variants, call_of, example
from kchaos.engine.change import CommandResult
from kchaos.engine.kubernetes import Outcome
from kchaos.fix.scene import Weakness
from kchaos.fix.trial import Attempt, Lab
from kchaos.history.record import Run
from kchaos.history.view import View
from kchaos.models.api.pods import controller_of, namespace, ready, terminating
from kchaos.models.api.tree import Obj
from kchaos.scenario import At, Step

AFTER_S = 240.0
"""An operator has seen what is wrong and acts so long after the fault; a bad template is undone after two minutes."""
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
LOST = ("node-power-loss", "node-pause", "network-partition")


class Remedy(NamedTuple):
    """Commands and the steps that they are in a scenario; what to know before."""

    commands: tuple[str, ...]
    steps: tuple[Step, ...]
    says: str = ""


Make = Callable[[Weakness, Case, Run], Iterator[Remedy]]


def _node_is_gone(weakness: Weakness, case: Case, run: Run) -> Iterator[Remedy]:
    """Say that a node won't come back: its pods are taken away and its volumes let go (KEP-2268)."""
    fault = case.scenario.steps[0]
    if weakness.object.startswith("StatefulSet/") and fault.do in LOST:
        node = str(fault.args["target"])
        taint = f"{OUT_OF_SERVICE['key']}={OUT_OF_SERVICE['value']}:{OUT_OF_SERVICE['effect']}"
        yield Remedy(
            (f"kubectl taint nodes {node} {taint}",),
            (_step("taint", f"Node/{node}", taint=dict(OUT_OF_SERVICE)),),
            "only once the node is surely off, as its pods would run twice; take the taint away (the same with - at the end) when it is back",
        )


def _broken_pods(weakness: Weakness, case: Case, run: Run) -> Iterator[Remedy]:
    """Delete the pods that a StatefulSet waits for: it makes them anew from the template that is right again."""
    if not weakness.object.startswith("StatefulSet/") or case.scenario.steps[0].do != "rollback":
        return
    view = View(run.header.initial)
    for entry in run.entries:
        view.apply(entry)
    space = weakness.object.split("/")[1]
    mine = [
        key for key, pod in sorted(view.table("pods").items()) if not ready(pod) and not terminating(pod) and _owner(pod) == weakness.object
    ]
    names = [key.partition("/")[2] for key in mine]
    if names:
        yield Remedy(
            (f"kubectl delete pod --namespace {space} {' '.join(names)}",),
            tuple(_step("delete", f"Pod/{key}") for key in mine),
            "after the template is right again; its claim and data stay",
        )


TABLE: tuple[tuple[str, Make, str], ...] = (
    ("KC202", _node_is_gone, "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown"),
    ("KC204", _broken_pods, "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback"),
)
"""Rule, remedy, source."""


def _owner(pod: Obj) -> str:
    ref = controller_of(pod) or {}
    return f"{ref.get('kind')}/{namespace(pod)}/{ref.get('name')}"


def _step(do: str, target: str, **args: object) -> Step:
    return Step(do=do, args={"target": target, **args}, when=At(AFTER_S))


def commands(lab: Lab, attempt: Attempt) -> Iterator[CommandResult]:
    """Yield for each weakness that is left the first commands after which its workload is whole again."""
    variants = Variants(attempt.prepared.system, attempt.prepared.booted, lab.question.seed)
    for weakness in attempt.weak:
        for rule, make, _ in TABLE:
            if rule != weakness.rule:
                continue
            for case in (one for one in weakness.cases if len(one.scenario.steps) == 1):
                found = _tried(lab, variants, attempt, weakness, case, make)
                if found is not None:
                    yield found
                    break


def _tried(lab: Lab, variants: Variants, attempt: Attempt, weakness: Weakness, case: Case, make: Make) -> CommandResult | None:
    before = _run(lab, variants, case)
    for remedy in make(weakness, case, before.run):
        scenario = msgspec.structs.replace(case.scenario, steps=(*case.scenario.steps, *remedy.steps))
        after = _run(lab, variants, case._replace(scenario=scenario))
        wanted = attempt.prepared.booted.ready_before.get(weakness.object, 0)
        serves = serves_again_s(after.run, weakness.object, wanted, AFTER_S)
        still = any(prop.id == weakness.rule and (one.root or one.object) == weakness.root for prop, one in after.violations)
        alone = serves_again_s(before.run, weakness.object, wanted, AFTER_S)
        if serves is not None and alone is None and (not still or weakness.rule == "KC202"):  # an outage that ends is still one
            return CommandResult(
                finding=weakness.fingerprint, rule=weakness.rule, object=weakness.object, fault=call_of(case.scenario.steps[0]),
                commands=remedy.commands, after_s=AFTER_S, serves_s=round(serves, 1), says=remedy.says,
            )  # fmt: skip
    return None


def _run(lab: Lab, variants: Variants, case: Case) -> Outcome:
    lab.meter.check()
    one, outcome = example(variants, 0, case)
    lab.meter.ran(one)
    return outcome


def serves_again_s(run: Run, workload: str, wanted: int, after_s: float) -> float | None:
    """Return how long after ``after_s`` of chaos all pods of a workload serve and go on to, before anything is healed; None if they don't."""
    begun = next((mark.t for mark in run.marks("phase") if mark.data["name"] == "chaos"), 0.0) + after_s
    healed = next((mark.t for mark in run.marks("phase") if mark.data["name"] == "heal"), begun)
    since: float | None = None
    for mark in run.marks("members"):
        if mark.data["workload"] != workload or mark.t >= healed:
            continue
        if int(mark.data["serving"]) < wanted:
            since = None
        elif since is None:
            since = mark.t
    return max(0.0, since - begun) if since is not None else None
