"""The plugin's options: what each does, what it refuses; the ini file; where a replayed scenario belongs."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]
TWO = """
@chaos("deploy/blocked.yaml", faults="drain", examples=3)
def test_blocked(run):
    pass

@chaos("deploy/blocked.yaml", faults="drain", examples=3)
def test_other(run):
    pass

def test_plain():
    pass
"""


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--kchaos-seed=x", "--kchaos-seed: 'x' is no seed"),
        ("--kchaos-seed=-1", "write a whole number from 0 on"),
        ("--kchaos-budget=0", "--kchaos-budget: not a budget: 0 (write a number of examples"),
        ("--kchaos-budget=soon", "not a budget: soon"),
        ("--kchaos-backend=kind", "--kchaos-backend: there is no 'kind' (write simulated)"),
        ("--kchaos-replay=none.json", "none.json: can't read the scenario: No such file or directory"),
        ("--kchaos-replay=test_app.py", "test_app.py: not JSON"),
        ("--kchaos-report=out.txt", "write a file that ends in .html or .json, or none"),
        ("--kchaos-nonsense", "unrecognized arguments: --kchaos-nonsense"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(project: Project, option: str, says: str) -> None:
    """Exit code 4, before anything is collected, with a word on what to write."""
    project.test(TWO)
    result = project.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in result.stderr.str() and "Traceback" not in result.stderr.str()


def test_seed_and_budget_override(project: Project) -> None:
    """Of every campaign; also of clusters."""
    project.test("""
@chaos("deploy/healthy.yaml", faults="drain,rollout", seed=1)
def test_it(run):
    assert (run.result.seed, run.result.examples.run) == (5, 9)

def test_cluster(cluster):
    assert cluster.scenario.seed == 5
""")
    project.run("--kchaos-seed=5", "--kchaos-budget=9").assert_outcomes(passed=2)


def test_a_time_cuts_level_1_and_that_is_unknown(project: Project) -> None:
    """Never shown green."""
    project.test('@chaos("deploy/healthy.yaml")\ndef test_it(run):\n    pass\n')
    result = project.run("--kchaos-budget=0.001s")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["UNKNOWN: level 1 of the sweep is unfinished: *"])


def test_replay_runs_one_scenario_where_it_belongs(project: Project) -> None:
    """One example, in the test that found it; the others are deselected; on the manifests as they are now."""
    project.test(TWO)
    project.run()
    (scenario,) = (project.path / "kchaos-corpus" / "test_app-test_other").glob("*.scenario.json")
    result = project.run(f"--kchaos-replay={scenario}", "test_app.py")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["FAIL: 1 error in 1 examples*", "*test_other*"])
    elsewhere = project.path / "mine.scenario.json"
    shutil.copy(scenario, elsewhere)
    project.manifest("blocked", "healthy")
    project.run("--kchaos-replay=mine.scenario.json", "test_app.py").assert_outcomes(passed=1, deselected=2)
    result = project.run("--kchaos-replay=mine.scenario.json", "test_app.py::test_blocked")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no test that was collected has found mine.scenario.json" in result.stderr.str()
    apart = project.run_apart("-n2", "--kchaos-replay=mine.scenario.json", "test_app.py::test_blocked")
    assert apart.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    apart.stdout.fnmatch_lines(["kchaos: no test that was collected has found mine.scenario.json*"])


def test_a_replay_that_makes_no_sense_any_more_is_told(project: Project) -> None:
    """A file of a workload that is gone."""
    project.test('@chaos("deploy/blocked.yaml", faults="drain", examples=3)\ndef test_it(run):\n    pass\n')
    project.run()
    (scenario,) = (project.path / "kchaos-corpus" / "test_app-test_it").glob("*.scenario.json")
    text = scenario.read_text(encoding="utf-8").replace('"target": "node-1"', '"target": "node-77"')
    scenario.write_text(text, encoding="utf-8")
    result = project.run(f"--kchaos-replay={scenario}", "test_app.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*KC203-*.scenario.json makes no sense here: *node-77*"])


def test_corpus_and_report_go_where_they_are_asked_for(project: Project) -> None:
    """By the ini file from rootdir on, by the command line from the current folder on."""
    project.test(TWO)
    (project.path / "pytest.ini").write_text("[pytest]\nkchaos_corpus = found\nkchaos_report = out/kchaos.html\n", encoding="utf-8")
    project.run()
    assert (project.path / "found" / "test_app-test_blocked").is_dir() and (project.path / "out" / "kchaos.html").is_file()
    project.run("--kchaos-corpus=other", "--kchaos-report=a.json", "--kchaos-report=a.html", "test_app.py")
    assert (project.path / "other" / "test_app-test_other").is_dir() and (project.path / "a.html").is_file()
    document = json.loads((project.path / "a.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["result"]["verdict"]) for one in document["campaigns"]] == [
        ("test_app.py::test_blocked", "fail"),
        ("test_app.py::test_other", "fail"),
    ]
    assert not (project.path / "kchaos-corpus").exists()


def test_the_mark_selects(project: Project) -> None:
    """``-m kchaos``, also with strict markers."""
    project.test(TWO)
    project.run("--strict-markers", "-m", "not kchaos").assert_outcomes(passed=1, deselected=2)
