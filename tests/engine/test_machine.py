"""ClusterMachine: its runs are scenarios, what it finds is small and can be run again by anybody, and it costs little to begin anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis.stateful import rule

from kchaos import ClusterMachine, eventually, invariant, replay
from kchaos.engine.explore import Failed, explore, search_with
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.machine import profile
from kchaos.engine.subject import subject_of
from kchaos.errors import InvalidScenario
from kchaos.models.faults.catalog import catalog
from kchaos.scenario import load
from tests.drawn import TEXT
from tests.support import ROOT, SITUATIONS

HEALTHY = (SITUATIONS / "budget-blocks-drain.healthy.yaml").read_text(encoding="utf-8")
BLOCKED = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
STATEFUL = (SITUATIONS / "zonal-volume.yaml").read_text(encoding="utf-8")
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {color: blue}\n"


class Everything(ClusterMachine):
    """All that can be done, and a claim that never fails."""

    manifests = (TEXT + "---\n" + CONFIG,)
    faults = ("all", "apply", "patch", "delete", "scale")
    topology = (6, 3)
    fail_on = "error"
    seed = 5
    examples = 50
    steps = 12

    @invariant()
    def nodes_have_names(self) -> None:
        assert all(node["metadata"]["name"] for node in self.cluster.list("Node"))

    @rule()
    def recolor(self) -> None:
        self.apply(CONFIG.replace("blue", "red"))


def collected(machine: type[ClusterMachine]) -> list[Outcome]:
    """Return the outcomes of all examples; violations are not held against anybody."""
    out: list[Outcome] = []

    def make() -> ClusterMachine:
        made = machine()
        made._on_finished = out.append
        made._subject = made._subject._replace(fail_on=Never)
        return made

    hypothesis.seed(machine.seed)(make)
    settings = hypothesis.settings(profile(machine, None), phases=[hypothesis.Phase.generate])
    search_with(make, settings)
    return out


class Never:
    """Less severe than anything."""

    rank = -1


def test_a_machine_run_is_its_scenario_run() -> None:
    """Fifty drawn sequences of everything there is: the engine's run of each recorded scenario has the same digest."""
    subject = subject_of(Everything)
    outcomes = collected(Everything)
    assert len(outcomes) >= 50
    done: dict[str, None] = {}
    for one in outcomes:
        again = run(subject.system, subject.booted, one.scenario, look=subject.look(Everything.__new__(Everything)))
        assert again.run.digest == one.run.digest, one.scenario.steps
        assert again.violations == one.violations
        done |= dict.fromkeys(step.do for step in one.scenario.steps)
    assert {"drain", "apply", "delete", "scale"} <= set(done) and len(done) >= 10
    assert any(step.for_s is not None for one in outcomes for step in one.scenario.steps)


def test_what_users_do_is_recorded_and_bites() -> None:
    """Apply, delete, scale and patch change objects: their steps have evidence."""
    bit: dict[str, None] = {}
    for one in collected(Everything):
        bit |= dict.fromkeys(line["name"] for line in one.steps if line["status"] == "bit")
    assert {"apply", "delete", "scale", "drain"} <= set(bit)


# -- planted bugs ------------------------------------------------------------------------------------------------------

BUGS: dict[str, dict[str, Any]] = {
    "a drain that a budget blocks": {"manifests": BLOCKED, "faults": ("drain", "rollout", "leader-crash"), "finds": "KC203"},
    "a workload that nobody may scale": {
        "manifests": HEALTHY, "faults": ("scale", "rollout", "pod-kill"), "claim": lambda self: self.cluster.ready("Deployment/default/web") != 4,
        "finds": "planted",
    },
    "a config that is gone after its deletion": {
        "manifests": HEALTHY + "---\n" + CONFIG, "faults": ("apply", "delete", "drain"), "at_end": lambda self: self.cluster.get("ConfigMap/default/app"),
        "finds": "planted",
    },
    "too few nodes for two faults at once": {
        "manifests": HEALTHY, "faults": ("node-power-loss", "leader-crash"), "claim": lambda self: self.cluster.ready("Deployment/default/web"),
        "finds": "planted",
    },
}  # fmt: skip


def planted(name: str) -> type[ClusterMachine]:
    """Return a machine with one thing to find."""
    bug = BUGS[name]
    body: dict[str, Any] = {
        "manifests": bug["manifests"], "faults": bug["faults"], "topology": (3, 3), "seed": 1, "examples": 40, "shrinks": 80,
        "__module__": __name__,
    }  # fmt: skip
    for key, mark in (("claim", invariant()), ("at_end", eventually())):
        if key in bug:

            def asked(self: Any, claim: Any = bug[key]) -> None:
                assert claim(self)

            body["planted"] = mark(asked)
    return type("Planted", (ClusterMachine,), body)


@pytest.mark.parametrize("name", sorted(BUGS))
def test_planted_bugs_are_found_and_small(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is found within forty examples, shrinks to eight steps at most, and its scenario shows it again."""
    monkeypatch.chdir(tmp_path)
    machine = planted(name)
    with pytest.raises(Failed) as found:
        explore(machine)
    assert BUGS[name]["finds"] in str(found.value)
    (saved,) = (tmp_path / "kchaos-corpus").rglob("*.scenario.json")
    scenario = load(saved)
    assert 1 <= len(scenario.steps) <= 3
    subject = subject_of(machine)
    outcome = run(subject.system, subject.booted, scenario, look=subject.look(machine.__new__(machine)))
    assert BUGS[name]["finds"] in [prop.id for prop, violation in outcome.violations if subject.counts(prop, violation)]
    with pytest.raises(Failed, match="still broken"):
        explore(machine)


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The healthy twin passes, one fault after the other."""
    monkeypatch.chdir(tmp_path)
    body = {"manifests": HEALTHY, "faults": ("drain", "rollout", "leader-crash"), "topology": (3, 3), "seed": 2, "examples": 15}
    explore(type("Healthy", (ClusterMachine,), {**body, "one_at_a_time": True, "__module__": __name__}))
    assert list(tmp_path.iterdir()) == []


def test_one_machine_serves_many_examples() -> None:
    """Manifests are booted once per class, not once per example."""
    assert subject_of(Everything) is subject_of(Everything)


# -- files that others run ---------------------------------------------------------------------------------------------

SHOP = """
from kchaos import ClusterMachine, eventually, invariant

class Shop(ClusterMachine):
    manifests = ("shop/*.yaml",)
    faults = ("drain", "rollout")
    topology = (3, 3)
    examples = 10
    shrinks = 30
    seed = 1
{claim}
TestShop = Shop.TestCase
"""
CLAIM = """
    @invariant()
    def all_web_pods_are_there(self):
        assert len(self.cluster.pods("Deployment/default/web")) < 3
"""


def pytest_in(folder: Path, *args: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pytest there, as its user would."""
    env = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")}
    env["PYTHONPATH"] = str(ROOT)
    env |= {"CI": "1"} if ci else {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False)


def shop(folder: Path, yaml: str, claim: str = "") -> None:
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "web.yaml").write_text(yaml, encoding="utf-8")
    (folder / "test_shop.py").write_text(SHOP.format(claim=claim), encoding="utf-8")


@pytest.mark.parametrize("ci", [False, True])
def test_the_pytest_file_fails_until_the_bug_is_gone(tmp_path: Path, ci: bool) -> None:
    """The whole way: the test fails, its files show the same, `kchaos replay` too; with the manifest mended all pass."""
    shop(tmp_path, BLOCKED)
    first = pytest_in(tmp_path, "test_shop.py", ci=ci)
    assert first.returncode == 1, first.stdout
    (command,) = re.findall(r"^E?\s+(kchaos replay \S+)$", first.stdout, re.M)
    replayed = subprocess.run(
        [sys.executable, "-m", "kchaos.cli", *command.split()[1:]], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert replayed.returncode == 1 and "KC203" in replayed.stdout, replayed.stderr
    again = pytest_in(tmp_path, "kchaos-corpus", "test_shop.py", ci=ci)
    assert "the drain of" in again.stdout and "still broken" in again.stdout and "2 failed" in again.stdout, again.stdout
    shop(tmp_path, HEALTHY)
    mended = pytest_in(tmp_path, "kchaos-corpus", "test_shop.py", ci=ci)
    assert mended.returncode == 0, mended.stdout


def test_a_claim_of_ones_own_is_judged_by_its_class(tmp_path: Path) -> None:
    """The pytest file of an own invariant imports the class: it fails until the claim holds, from any folder."""
    shop(tmp_path, HEALTHY, CLAIM)
    first = pytest_in(tmp_path, "test_shop.py")
    assert first.returncode == 1 and "all_web_pods_are_there" in first.stdout, first.stdout
    (command,) = re.findall(r"^E?\s+python -m pytest (\S+)$", first.stdout, re.M)
    (tmp_path / "other").mkdir()
    assert pytest_in(tmp_path / "other", f"../{command}").returncode == 1
    shop(tmp_path, HEALTHY, CLAIM.replace("< 3", "< 9"))
    assert pytest_in(tmp_path, command).returncode == 0


def test_a_claim_that_needs_its_rules_is_told_and_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rules keep is not in a scenario: the text says so, and no file claims to show it."""

    class Counting(ClusterMachine):
        manifests = HEALTHY
        faults = ("drain",)
        seed = 1
        count = 0

        @rule()
        def one_more(self) -> None:
            self.count += 1
            self.do("rollout", "Deployment/default/web")

        @invariant()
        def at_most_twice(self) -> None:
            assert self.count < 3

    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failed, match="not saved: the same steps alone do not break it"):
        explore(Counting)
    assert list(tmp_path.iterdir()) == []


def test_the_documented_example_works(tmp_path: Path) -> None:
    """docs/machine.md: ten lines, and what they find."""
    text = (ROOT / "docs" / "machine.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# test_shop\.py.*?)```", text, re.S)
    assert code is not None
    lines = [line for line in code[1].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 10
    shop(tmp_path, BLOCKED)
    (tmp_path / "test_shop.py").write_text(code[1], encoding="utf-8")
    found = pytest_in(tmp_path, "test_shop.py")
    assert found.returncode == 1 and "KC203 drain-ends" in found.stdout, found.stdout


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "no manifests"),
        ({"manifests": ("nowhere/*.yaml",)}, "no file matches"),
        ({"manifests": "kind: [\n"}, "Planted.manifests"),
        ({"manifests": HEALTHY, "faults": ("drian",)}, "did you mean drain"),
        ({"manifests": CONFIG.replace("name: app", "name: App_")}, "refuses ConfigMap"),
    ],
)
def test_mistakes_are_said(body: dict[str, Any], said: str) -> None:
    """An author's mistake is named, with what to write instead."""
    with pytest.raises(InvalidScenario, match=re.escape(said)):
        explore(type("Planted", (ClusterMachine,), {**body, "__module__": __name__}))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"do": "apply", "args": {"target": "ConfigMap/default/app"}}, "needs args.object"),
        ({"do": "apply", "args": {"target": "ConfigMap/default/b", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}}}, "is another"),
        ({"do": "apply", "args": {"target": "ConfigMap/default/b", "object": 3}}, "must be a JSON object"),
        ({"do": "delete", "args": {"target": "Nothing/default/b"}}, "no kind"),
        ({"do": "delete", "args": {"target": "ConfigMap/b"}}, "write ConfigMap/namespace/name"),
        ({"do": "scale", "args": {"target": "Deployment/default/web"}}, "needs args.replicas"),
        ({"do": "scale", "args": {"target": "Deployment/default/web", "replicas": -1}}, "0 or more"),
    ],
)  # fmt: skip
def test_steps_of_users_are_checked(step: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A saved scenario whose user operations make no sense is refused with the reason."""
    subject = subject_of(planted("a drain that a budget blocks"))
    path = tmp_path / "x.scenario.json"
    subject.scenario.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": [step]}), encoding="utf-8")
    with pytest.raises(InvalidScenario, match=re.escape(said)):
        replay(path)


def test_a_scenario_can_apply_a_workload_and_scale_it(tmp_path: Path) -> None:
    """What one step applies, a later one may name."""
    subject = subject_of(planted("a drain that a budget blocks"))
    path = tmp_path / "x.scenario.json"
    subject.scenario.save(path)
    web = next(obj for obj in subject.objects if obj["kind"] == "Deployment")
    other = {**web, "metadata": {**web["metadata"], "name": "other"}}
    steps = [
        {"do": "apply", "args": {"target": "Deployment/default/other", "object": other}},
        {"do": "scale", "args": {"target": "Deployment/default/other", "replicas": 3}, "when": {"type": "at", "s": 5.0}},
    ]
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": steps}), encoding="utf-8")
    assert replay(path).violations == ()


def test_own_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis' CI profile changes nothing: examples are drawn anew, and no database is asked."""
    before = hypothesis.settings.get_profile("default")
    try:
        hypothesis.settings.load_profile("ci")
        found = profile(Everything, None)
        assert (found.derandomize, found.database, found.max_examples) == (False, None, 50)
        theirs = profile(Everything, hypothesis.settings(max_examples=7, stateful_step_count=3))
        assert (theirs.derandomize, theirs.max_examples, theirs.stateful_step_count) == (False, 7, 3)
    finally:
        hypothesis.settings.register_profile("default", before)
        hypothesis.settings.load_profile("default")


def test_no_precondition_reads_the_cluster() -> None:
    """Preconditions ask only what the class says: they hold for a machine that has no cluster at all."""

    class Bare:
        _subject: ClassVar = subject_of(Everything)
        _may_wait = False

    for one in Everything.setup_state().rules:
        for condition in one.preconditions:
            condition(Bare())


def test_reading_changes_nothing() -> None:
    """What an author looks at is what is stored; unknown kinds are said."""
    machine = planted("a drain that a budget blocks")()
    try:
        entries = len(machine._session.cluster.recorder.entries)
        assert machine.cluster.ready("Deployment/default/web") == 2
        assert machine.cluster.get("ConfigMap/default/nothing") is None
        assert [one["metadata"]["name"] for one in machine.cluster.list("Service", "default")][-1:] == ["web"]
        with pytest.raises(InvalidScenario):
            machine.cluster.list("Nothing")
        assert len(machine._session.cluster.recorder.entries) == entries
    finally:
        machine._session.close()


def test_every_kind_of_operation_says_what_it_does() -> None:
    """The list of faults has them, with evidence."""
    for name in ("apply", "patch", "delete", "scale"):
        assert catalog().get(name).operation and catalog().get(name).evidence


def test_the_public_face_is_small() -> None:
    """Sorted, and loaded only when used: importing kchaos imports no engine."""
    code = textwrap.dedent("""
        import sys, kchaos
        assert kchaos.__all__ == sorted(kchaos.__all__)
        assert not [one for one in sys.modules if one.startswith(("kchaos.engine", "hypothesis"))]
        assert all(getattr(kchaos, one) for one in kchaos.__all__)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
