"""Properties of users in a whole run: findings, replay, shrinking, reports, workers; and what can't be used is told with its line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml

from kchaos import ClusterMachine
from kchaos.check.property import Property
from kchaos.cli import run_cli
from kchaos.engine.booting import Boot, System
from kchaos.engine.execute import Question
from kchaos.engine.explore import Failed, explore
from kchaos.engine.kubernetes import run
from kchaos.engine.machines import of_numbers
from kchaos.engine.result import Result
from kchaos.engine.system import build
from kchaos.history.record import Mark, Write
from kchaos.models.manifests.load import Text
from kchaos.properties.own.declared import Declared, property_of
from kchaos.properties.own.expression import Watch, compiled
from kchaos.properties.own.state import MARKS, SOURCES, State
from kchaos.reports.matrix import table
from kchaos.scenario import Scenario, Step, load
from tests.support import GUESTBOOK, ROOT, step

WEB = "default/frontend"
HOLDS = f'workloads["{WEB}"].desired == 3'
BREAKS = f'workloads["{WEB}"].ready >= 3'
YAML = f"""version: 1
properties:
  - id: SHOP-1
    title: three are asked for
    always: {HOLDS}
  - id: SHOP-2
    title: three are ready
    always: {BREAKS}
    severity: warning
    source: SLO 2026-03
"""
CHECKS = """from kchaos import always

@always(id="PY-1", title="three serve")
def three(cluster):
    return cluster.workloads["default/frontend"].serving >= 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result_of(here: Path, text: str, *options: str) -> tuple[int, Result]:
    """Run the guest book with this kchaos.yaml; return the exit code and the result."""
    (here / "kchaos.yaml").write_text(text, encoding="utf-8")
    faults = () if "--faults" in options else ("--faults", "pod-kill")
    out = ("-q", "-o", "json,sarif,junit,html,md", "--out", str(here / "out"), "--corpus", "none")
    code = run_cli(["run", str(GUESTBOOK), "--budget", "8", *faults, *out, *options])
    return code, msgspec.json.decode((here / "out" / "result.json").read_bytes(), type=Result)


def test_in_everything_that_is_written(here: Path) -> None:
    """The finding with its line; its row in the matrix, JUnit, SARIF, page; how each property stands."""
    code, result = result_of(here, YAML)
    assert code == 0 and result.verdict == "pass"
    (found,) = [one for one in result.findings if one.id == "SHOP-2"]
    assert (found.property, found.severity.value, found.object) == ("three-are-ready", "warning", f"Deployment/{WEB}")
    assert (found.file, found.line) == ("kchaos.yaml", 6) and found.story and found.replay
    assert f'workloads["{WEB}"].ready was 2' in found.summary and "during pod-kill of" in found.summary
    assert [(one.id, one.violated > 0, one.exercised) for one in result.properties] == [("SHOP-1", False, 8), ("SHOP-2", True, 8)]
    rows = {one.id: one.violated for one in result.matrix.properties}
    assert not rows["SHOP-1"] and rows["SHOP-2"]
    rules = json.loads((here / "out" / "kchaos.sarif").read_text(encoding="utf-8"))["runs"][0]["tool"]["driver"]["rules"]
    assert {"SHOP-1", "SHOP-2"} <= {one["id"] for one in rules}
    for name in ("junit.xml", "report.html"):
        page = (here / "out" / name).read_text(encoding="utf-8")
        assert "SHOP-1" in page and "SHOP-2" in page


def test_the_terminal_says_how_they_stand(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Below the table of workloads."""
    (here / "kchaos.yaml").write_text(YAML, encoding="utf-8")
    assert run_cli(["run", str(GUESTBOOK), "--budget", "4", "--faults", "pod-kill", "--corpus", "none"]) == 0
    printed = capfd.readouterr().out
    assert "SHOP-1  held in 4 examples" in printed and "SHOP-2  violated in 1 of 4 examples" in printed


def test_same_findings_on_two_processes(here: Path) -> None:
    """Properties of both sorts reach the workers, and change nothing in what is run."""
    (here / "checks.py").write_text(CHECKS, encoding="utf-8")
    text = YAML + "  - python: checks.py\n"
    alone, two, none = (result_of(here, *args)[1] for args in ((text,), (text, "-j", "2"), ("version: 1\n",)))
    assert alone.findings == two.findings and alone.matrix == two.matrix and alone.properties == two.properties
    assert {"SHOP-2", "PY-1"} <= {one.id for one in alone.findings}
    assert alone.digest == two.digest == none.digest


def test_fingerprints_stay(here: Path) -> None:
    """Whatever becomes of lines, titles and the expression: the id counts."""
    first = result_of(here, YAML)[1]
    other = YAML.replace("properties:", "# moved\n\nproperties:").replace("three are ready", "all ready").replace(">= 3", "> 2")
    second = result_of(here, other)[1]
    prints = [[one.fingerprint for one in result.findings if one.id == "SHOP-2"] for result in (first, second)]
    assert prints[0] == prints[1] and len(prints[0]) == 1


def test_replay_explain_shrink(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The scenario holds the property: it is judged again from the file alone."""
    found = next(one for one in result_of(here, YAML, "--faults", "pod-kill,rollout")[1].findings if one.id == "SHOP-2")
    (here / "kchaos.yaml").unlink()
    capfd.readouterr()
    assert run_cli(["replay", found.replay]) == 0
    assert "warning SHOP-2 Deployment/default/frontend: three are ready" in capfd.readouterr().out
    assert run_cli(["explain", found.replay]) == 0
    assert "source: SLO 2026-03" in capfd.readouterr().out
    assert run_cli(["shrink", found.replay, "--rule", "shop-2", "-o", "small.scenario.json", "--tries", "60"]) == 1
    assert "warning SHOP-2" in capfd.readouterr().out
    small = load(here / "small.scenario.json")
    assert len(small.inputs["objects"]) < len(load(Path(found.replay)).inputs["objects"])
    assert run_cli(["replay", "small.scenario.json"]) in (0, 1)
    assert "SHOP-2" in capfd.readouterr().out


def test_accept(here: Path) -> None:
    """By its id, as for any rule."""
    _, result = result_of(here, YAML + "accept: [{id: SHOP-2, reason: known, date: 2026-11-01}]\n")
    assert [one.accepted for one in result.findings if one.id == "SHOP-2"] == ["known (2026-11-01)"]


def test_never_exercised(here: Path) -> None:
    """That `when` was never true is a finding, with the property's line."""
    text = YAML + "  - {id: SHOP-3, title: t, eventually: pods.size() > 0, when: pods.size() > 900, within_s: 9}\n"
    _, result = result_of(here, text)
    (found,) = [one for one in result.findings if one.id == "KC331"]
    assert found.line == 11 and "SHOP-3 was never exercised" in found.summary
    assert next(one.standing for one in result.properties if one.id == "SHOP-3") == "never judged"


def test_undecided_is_unknown(here: Path) -> None:
    """No pass: what could not be evaluated is told, and why."""
    text = YAML + "  - {id: SHOP-3, title: t, always: 'pods.all(p, p.labels.nope == \"x\")'}\n"
    code, result = result_of(here, text)
    assert code == 3 and result.verdict == "unknown"
    assert any("there is no nope" in reason for reason in result.reasons)
    assert {one.id: one.standing for one in result.properties}["SHOP-3"] == "never judged"
    row = next(one for one in table(result.matrix, ["SHOP-3"]).broken if one.id == "SHOP-3")
    assert set(row.cells) == {None}, "unknown is never shown green"
    junit = ElementTree.fromstring((here / "out" / "junit.xml").read_bytes())
    (case,) = junit.findall("testcase[@name='SHOP-3 t']")
    assert case.find("skipped") is not None and junit.get("skipped") == "1"
    assert [one.severity.value for one in result.findings if one.id == "SHOP-3"] == ["info"]
    replay = next(one.replay for one in result.findings if one.id == "SHOP-3")
    assert run_cli(["replay", replay]) == 3, "a replay can't tell either"


def test_a_property_that_ends_the_process_ends_nothing(here: Path) -> None:
    """Exit code 0 would read as pass: it is undecided, and told with its line."""
    (here / "checks.py").write_text(CHECKS.replace("return", "raise SystemExit(0)  # return"), encoding="utf-8")
    code, result = result_of(here, "version: 1\n", "--properties", "checks.py")
    assert code == 3 and result.verdict == "unknown"
    assert any("SystemExit: 0 (checks.py:5)" in reason for reason in result.reasons)


def test_undecided_fails_a_state_machine(here: Path) -> None:
    """Who asks for a pass gets none."""
    (here / "kchaos.yaml").write_text("properties:\n- {id: A, title: t, always: 'pods.all(p, p.labels.nope == \"x\")'}\n", encoding="utf-8")

    class Guestbook(ClusterMachine):
        manifests = (str(GUESTBOOK / "*.yaml"),)
        config = str(here / "kchaos.yaml")
        faults = ("pod-kill",)
        examples = 1
        corpus = str(here / "corpus")

    with pytest.raises(Failed, match=r"A: .* can't be told at 0.0 s: there is no nope"):
        explore(Guestbook)


@pytest.mark.parametrize(
    ("old", "new", "says", "hint"),
    [
        (f'["{WEB}"].ready', '["default/fronted"].ready', "no workload default/fronted in the input", f"did you mean {WEB}?"),
        (f'workloads["{WEB}"].ready', 'endpoints["default/front"].ready', "no Service default/front in the input", f"did you mean {WEB}?"),
        (f'workloads["{WEB}"].ready', f'workloads["Deployment/{WEB}"].ready', f"no workload Deployment/{WEB}", f"did you mean {WEB}?"),
        (f'workloads["{WEB}"].ready', "workloads.frontend.ready", "no workload frontend in the input", f"did you mean {WEB}?"),
    ],
)
def test_what_is_not_in_the_input(
    old: str, new: str, says: str, hint: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """An expression that could never have a value is refused with file and line."""
    (here / "kchaos.yaml").write_text(YAML.replace(old, new), encoding="utf-8")
    assert run_cli(["run", str(GUESTBOOK), "--budget", "1"]) == 2
    error = capfd.readouterr().err
    assert "kchaos.yaml:6: SHOP-2: " in error and says in error and hint in error


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("PY-1", "KC001", "checks.py:3: KC001: ids that begin with KC are kchaos' own"),
        ('title="three serve"', 'severity="bad"', "checks.py:3: severity: 'bad' is none of them"),
        ('title="three serve"', 'except_during=["drian"]', "checks.py:3: no fault is called drian (did you mean drain?)"),
        ('title="three serve"', 'when="pods.size()"', "checks.py:3: when: the expression gives a number"),
        ('title="three serve"', 'except_during="drain"', 'checks.py:3: except_during is a list of faults (write except_during=["drain"])'),
        ('title="three serve"', 'for_s="x"', "checks.py:3: for_s must be a number of seconds, not 'x'"),
        ("def three(cluster)", "async def three(cluster)", "checks.py:3: a property is asked and answers at once"),
        ("def three(cluster)", "def three()", "checks.py:3: a property takes the cluster, and nothing else"),
        ("return", "retrun", "checks.py:5: it can't be run: SyntaxError"),
        ("from kchaos", "import sys; sys.exit(0)\nfrom kchaos", "checks.py:1: it can't be run: SystemExit: 0"),
        ("from kchaos", "from kchaso", "checks.py:1: it can't be run: ModuleNotFoundError"),
        ('@always(id="PY-1", title="three serve")', "", "checks.py: the file declares no property"),
        ("PY-1", "SHOP-2", "checks.py:3: the id SHOP-2 is that of kchaos.yaml:6"),
    ],
)
def test_python_files_that_cannot_be_used(old: str, new: str, says: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """File, line, what is wrong."""
    (here / "checks.py").write_text(CHECKS.replace(old, new), encoding="utf-8")
    (here / "kchaos.yaml").write_text(YAML, encoding="utf-8")
    assert run_cli(["run", str(GUESTBOOK), "--budget", "1", "--properties", "checks.py"]) == 2
    error = capfd.readouterr().err
    assert f"error: {says}" in error and "Traceback" not in error


@pytest.mark.parametrize(("name", "says"), [("none.py", "no such file"), ("folder.py", "a folder, not a file")])
def test_python_files_that_are_not_there(name: str, says: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Told as such."""
    (here / "folder.py").mkdir()
    assert run_cli(["run", str(GUESTBOOK), "--properties", name]) == 2
    assert f"error: {name}: {says} (give a Python file" in capfd.readouterr().err


def test_a_replay_without_its_python_file(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The scenario names the file; where it is not, that is said, and nothing is judged without it."""
    (here / "checks.py").write_text(CHECKS, encoding="utf-8")
    found = next(one for one in result_of(here, "version: 1\n", "--properties", "checks.py")[1].findings if one.id == "PY-1")
    assert run_cli(["replay", found.replay]) == 1 and "error   PY-1 Cluster: three serve" in capfd.readouterr().out
    (here / "checks.py").unlink()
    sys.modules.pop(next(name for name, one in sys.modules.items() if getattr(one, "__file__", None) == str(here / "checks.py")))
    assert run_cli(["replay", found.replay]) == 2
    assert "checks.py: no such file" in capfd.readouterr().err


def test_lists(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`kchaos properties` shows those of the kchaos.yaml here, or of --config, first; `explain` tells one."""
    (here / "kchaos.yaml").write_text(YAML, encoding="utf-8")
    assert run_cli(["properties"]) == 0 and capfd.readouterr().out.startswith("SHOP-1 ")
    assert run_cli(["properties", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert [one["source"] for one in listed[:2]] == ["kchaos.yaml:3", "SLO 2026-03"]
    assert run_cli(["explain", "SHOP-2"]) == 0 and "three are ready: always workloads" in capfd.readouterr().out
    (here / "kchaos.yaml").rename(here / "other.yaml")
    assert run_cli(["properties"]) == 0 and "SHOP" not in capfd.readouterr().out
    assert run_cli(["properties", "--config", "other.yaml"]) == 0 and capfd.readouterr().out.startswith("SHOP-1 ")


def test_the_page_s_examples(here: Path) -> None:
    """What docs/property.md shows runs as it stands."""
    page = (ROOT / "docs" / "property.md").read_text(encoding="utf-8")
    told, code = page.partition("```yaml\n")[2].partition("```")[0], page.partition("```python\n")[2].partition("```")[0]
    (here / "checks.py").write_text(code.replace("SHOP", "PY"), encoding="utf-8")
    _, result = result_of(here, told, "--properties", "checks.py")
    assert [one.id for one in result.properties] == ["SHOP-1", "SHOP-2", "SHOP-3", "SHOP-4", "PY-1", "PY-2"]
    assert all(one.exercised for one in result.properties) and result.verdict != "unknown"
    assert len(yaml.safe_load(told)["properties"]) == 4


# -- the state, and what it costs ----------------------------------------------------------------------------------------

OWN = (
    BREAKS, f'endpoints["{WEB}"].ready == 3', f'pods.filter(p, p.workload == "{WEB}" && p.ready).size() >= 2', "nodes.all(n, n.ready)",
    'faults.exists(f, f.name == "drain") || phase == "settle"', "pods.all(p, p.restarts == 0)", "claims.size() == 0",
    f'workloads["{WEB}"].serving <= workloads["{WEB}"].ready', f'endpoints["{WEB}"].pods.all(n, pods.exists(p, p.name == n))',
)  # fmt: skip
STEPS = (
    (step("node-power-loss", "node-1"),),
    (step("rollout", f"Deployment/{WEB}"), step("drain", "node-2")),
    (step("corrupt-status", f"Deployment/{WEB}"), step("pod-kill", f"Deployment/{WEB}")),
)


def guestbook() -> tuple[System, Boot]:
    """Return the guest book, booted."""
    from kchaos.engine.execute import prepare

    texts = [Text(file.name, file.read_bytes()) for file in sorted(GUESTBOOK.glob("*.yaml"))]
    prepared = prepare(Question(texts=texts, machines=lambda objects: of_numbers(6, 3, objects)))
    return prepared.system, prepared.booted


class _Compared:
    """Looks at every expression after every entry, incrementally and from scratch."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.state = State(context)
        self.watches = [Watch(compiled(source), self.state) for source in OWN]
        self.serving: dict[str, int] = {}
        self.compared = 0
        self.wrong: list[tuple[str, object, object]] = []

    def writes(self) -> Any:
        """Take all that any table is made of."""
        return {resource: self._entry for resources in SOURCES.values() for resource in resources}

    def marks(self) -> Any:
        """Take all that a state takes."""
        return dict.fromkeys(MARKS, self._entry)

    def _entry(self, entry: Write | Mark) -> Any:
        self.state.feed(entry)
        fresh = State(self.context)
        fresh._serving = self.state._serving
        fresh.need(SOURCES)
        fresh.phase = self.state.phase
        fresh.tables["faults"] = self.state.tables["faults"]
        fresh._takes.get(getattr(entry, "resource", ""), lambda key, obj: None)(
            getattr(entry, "key", ""), None if getattr(entry, "type", "") == "DELETED" else getattr(entry, "obj", None)
        )
        for source, watch in zip(OWN, self.watches, strict=True):
            now, then = watch.value(), Watch(compiled(source), fresh).value()
            self.compared += 1
            if now != then:
                self.wrong.append((source, now, then))
        return ()

    def finish(self, t: float) -> Any:
        """Say nothing."""
        return ()


@pytest.mark.parametrize("steps", STEPS)
def test_incremental_is_from_scratch(steps: tuple[Step, ...]) -> None:
    """After every entry of a run, what is kept up to date equals what is made anew of all that is stored."""
    system, booted = guestbook()
    seen: list[_Compared] = []

    def monitor(context: Any) -> _Compared:
        seen.append(_Compared(context))
        return seen[0]

    base = property_of(Declared(id="A", title="a", form="always", says="true"))
    run(system, booted, Scenario(steps=steps), [msgspec.structs.replace(base, monitor=monitor)])
    assert seen[0].wrong == [] and seen[0].compared > 300


def test_what_three_cost() -> None:
    """Three properties cost far less than the run itself (the ratio in one process; no clock decides)."""
    system, booted = guestbook()
    declared = [Declared(id=f"A-{index}", title="a", form="always", says=source, for_s=900.0) for index, source in enumerate(OWN[:3])]
    own: list[Property] = [property_of(one) for one in declared]
    assert msgspec.convert(msgspec.to_builtins(declared), list[Declared]) == declared
    with_own = build(msgspec.to_builtins(system.topology), {**system.inputs, "properties": msgspec.to_builtins(declared)})
    assert [one.id for one in with_own.properties] == [one.id for one in own] and with_own.digest == system.digest
    scenario = Scenario(steps=STEPS[0])
    took = []
    for which in (system, with_own, system, with_own):
        began = time.process_time()
        for _ in range(5):
            run(which, booted, scenario)
        took.append(time.process_time() - began)
    assert min(took[1::2]) < 1.6 * min(took[::2])
