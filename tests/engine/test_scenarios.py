"""Scenario and run files of nonsense: refused with the file and what is wrong, by replay and explain alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kchaos.cli import run_cli
from kchaos.engine.booting import boot
from kchaos.engine.scenarios import checked, load_system
from kchaos.engine.sweep import sweep
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.objects import KLASS
from tests.support import GUESTBOOK

Document = dict[str, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scenario and its run, as `kchaos run` and `kchaos replay` write them."""
    folder = tmp_path_factory.mktemp("saved")
    run_cli(["run", str(GUESTBOOK), "--faults", "drain", "--budget", "3", "-q", "--out", str(folder / "out")])
    objects = sorted((folder / "out").glob("*.scenario.json"))
    document = json.loads(objects[0].read_text(encoding="utf-8"))
    workload = next(o for o in document["inputs"]["objects"] if o["kind"] == "Deployment")
    target = f"Deployment/{workload['metadata']['namespace']}/{workload['metadata']['name']}"
    document["steps"] = [{"do": "rollout", "args": {"target": target}, "when": {"type": "at", "s": 1.0}, "for_s": None}]
    document["topology"]["nodes"] = document["topology"]["nodes"][:3]
    (folder / "good.json").write_text(json.dumps(document), encoding="utf-8")
    assert run_cli(["replay", str(folder / "good.json"), "--save", str(folder / "good.jsonl")]) in (0, 1)
    return folder


def step(**fields: Any) -> Callable[[Document], None]:
    """Return what changes the first step."""
    return lambda d: d["steps"][0].update(fields)


def args(**fields: Any) -> Callable[[Document], None]:
    """Return what changes the first step's arguments."""
    return lambda d: d["steps"][0]["args"].update(fields)


BAD: dict[str, tuple[Callable[[Document], None], str]] = {
    "a negative time": (step(when={"type": "at", "s": -1}), "steps[0].when.s must be 0 or more"),
    "a negative length": (step(for_s=-1), "steps[0].for_s must be 0 or more"),
    "the 0th event": (step(when={"type": "nth", "event": {"on": "request"}, "n": 0}), "steps[0].when.n must be 1 or more"),
    "an unknown field of an event": (step(when={"type": "nth", "event": {"verbs": "get"}}), "did you mean verb?"),
    "an unknown trigger": (step(when={"type": "never"}), "steps[0].when"),
    "an unknown field": (lambda d: d.update(foo=1), "foo is not known"),
    "an unknown field of a step": (step(foo=1), "steps[0].foo is not known"),
    "an unknown field of the budget": (lambda d: d["budget"].update(foo=1), "budget.foo is not known"),
    "an unknown field of the topology": (lambda d: d["topology"].update(foo=1), "topology.foo is not known"),
    "an unknown field of a node": (lambda d: d["topology"]["nodes"][0].update(zon="a"), "did you mean zone?"),
    "a negative budget": (lambda d: d["budget"].update(chaos_s=-1), "budget.chaos_s must be 0 or more"),
    "unknown noise": (lambda d: d.update(noise={"type": "zzz"}), "noise"),
    "a probability of 7": (lambda d: d.update(noise={"type": "seeded", "seed": 1, "p": 7}), "noise.p must be 1 or less"),
    "noise without seed": (lambda d: d.update(noise={"type": "seeded", "p": 0.5}), "seed"),
    "no arguments": (step(args={}), "rollout needs args.target"),
    "an unknown argument": (args(targt="x"), "did you mean target?"),
    "an unknown fault": (step(do="roolout"), "did you mean rollout"),
    "no such workload": (args(target="Deployment/default/nobody"), "no workload Deployment/default/nobody in this scenario"),
    "no workload": (args(target="frontend"), "Kind/namespace/name"),
    "no such node": (step(do="drain", args={"target": "node-99"}), "no node node-99"),
    "no such zone": (step(do="zone-power-loss", args={"target": "zone-z"}), "no zone zone-z"),
    "half a replica": (step(do="scale-up", args={"target": "Deployment/default/frontend", "by": 0.5}), "by must be a whole number"),
    "no such master": (step(do="apiserver-crash", args={"target": "master-9"}), "no master master-9"),
    "no such webhook": (step(do="webhook-timeout", args={"target": "default/guard"}), "no webhook default/guard"),
    "no such component": (step(do="leader-crash", args={"target": "kubelet"}), "no component kubelet"),
    "no such resource": (step(do="events-held", args={"target": "pod"}), "did you mean pods?"),
    "more than everything lost": (step(do="network-loss", args={"target": "node-1", "loss": 7}), "loss must be a number from 0 to 1"),
    "a symbolic target of another sort": (step(do="drain", args={"target": "leader(kube-scheduler)"}), "leader(…) is no node"),
    "no phase": (step(do="request-refused", args={"target": "*", "phase": "x"}), "phase must be before or after"),
    "objects that are text": (lambda d: d["inputs"].update(objects="abc"), "inputs.objects must be a list"),
    "objects that are numbers": (lambda d: d["inputs"].update(objects=[1]), "inputs.objects[0] is no Kubernetes object"),
    "an object of the wrong types": (lambda d: d["inputs"]["objects"][0].update(spec=5), "inputs.objects[0]"),
    "no inputs": (lambda d: d.update(inputs={}), "inputs.objects must be a list"),
    "no assumptions": (lambda d: d["inputs"].pop("assumptions"), "'assumptions' is missing"),
    "unknown assumptions": (lambda d: d["inputs"].update(assumptions={"defaults": {"x": 1}, "workloads": {}}), "x"),
    "another Kubernetes": (lambda d: d["inputs"].update(kubernetes="9.9"), "9.9"),
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("command", ["replay", "explain"])
def test_a_scenario_of_nonsense(name: str, command: str, saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit 2, the file, what is wrong."""
    document = json.loads((saved / "good.json").read_text(encoding="utf-8"))
    change, says = BAD[name]
    change(document)
    (tmp_path / "bad.json").write_text(json.dumps(document), encoding="utf-8")
    assert run_cli([command, str(tmp_path / "bad.json")]) == 2
    out, err = capfd.readouterr()
    assert err.startswith(f"error: {tmp_path / 'bad.json'}: ") and says in err
    assert out == "" and "Traceback" not in err


def one_more(last: str) -> str:
    """Return the last line of a run that has one entry more."""
    end = json.loads(last)["end"]
    return json.dumps({"end": {**end, "entries": end["entries"] + 1}})


def test_every_step_of_the_sweep_can_be_saved(saved: Path) -> None:
    """What the sweep tries is never refused, whatever its fault."""
    scenario, system = load_system(saved / "good.json")
    booted = boot(system)
    names = [kind.name for kind in catalog() if kind.klass != KLASS]
    steps = [steps[0] for steps in sweep(system, booted, names).level1 if steps]
    assert {one.do for one in steps} >= {"drain", "leader-crash", "apiserver-crash", "events-held", "request-refused", "clock-skew"}
    checked(msgspec.structs.replace(scenario, steps=tuple(steps)))


LINES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "no last line": (lambda rows: rows[:-1], "its last line is missing"),
    "half of the lines": (lambda rows: rows[: len(rows) // 2], "its last line is missing"),
    "a line that is no entry": (lambda rows: [*rows[:5], "5", *rows[5:]], ":6: not an entry"),
    "an entry without a time": (lambda rows: [*rows[:5], '{"e": "phase"}', *rows[5:]], ":6: not an entry"),
    "an end that is none": (lambda rows: [*rows[:-1], '{"end": 5}'], "not an entry"),
    "a mark of nonsense": (lambda rows: [rows[0], '{"t": 0, "e": "phase"}', *rows[1:-1], one_more(rows[-1])], "can't be understood"),
}


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_run_of_nonsense(name: str, saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same for runs."""
    rows = (saved / "good.jsonl").read_text(encoding="utf-8").splitlines()
    assert any('"e":"traffic"' in row for row in rows)  # its interval has an end, too
    change, says = LINES[name]
    (tmp_path / "bad.jsonl").write_text("\n".join(change(rows)) + "\n", encoding="utf-8")
    assert run_cli(["explain", str(tmp_path / "bad.jsonl")]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"error: {tmp_path / 'bad.jsonl'}") and says in err and "Traceback" not in err


def test_what_was_saved_is_told(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A whole run has its story, with all that happened."""
    assert run_cli(["explain", str(saved / "good.jsonl")]) == 0
    assert "rollout of Deployment/default/" in capfd.readouterr().out
