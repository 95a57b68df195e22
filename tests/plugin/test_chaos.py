"""``@chaos``: what ``run`` is, when a test passes, what its failure says, and what its author may get wrong."""

from __future__ import annotations

import re

import pytest

from kchaos.scenario import load
from tests.plugin.conftest import Project
from tests.support import ROOT

pytest_plugins = ["pytester"]
DRAIN = '@chaos("deploy/{}.yaml", faults="drain", examples=3)\n'


def test_a_healthy_application_passes(project: Project) -> None:
    """The run has a verdict, the findings, the history of a healthy run."""
    project.test(
        DRAIN.format("healthy")
        + """
def test_it(run):
    assert run.verdict == "pass", run
    assert run.failures == () and run.result.examples.run >= 3
    assert list(run.history.marks("phase")) and run.history.digest
"""
    )
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("pass", "failed"),
        ("assert run.history.entries", "failed"),
        ('assert run.verdict == "pass", run', "failed"),
        ('assert run.verdict == "fail"', "passed"),
        ('assert [one.id for one in run.findings] == ["KC203"]', "passed"),
        ("assert len(run.failures) == 1", "passed"),
        ('assert run.result.verdict == "fail"', "passed"),
        ('assert "KC203" in str(run)', "failed"),
        ("pytest.skip()", "skipped"),
    ],
)
def test_who_does_not_look_fails_with_the_verdict(project: Project, body: str, outcome: str) -> None:
    """A body that reads neither verdict nor findings leaves the judgement to the campaign; else what it asserts counts."""
    project.test(DRAIN.format("blocked") + f"def test_it(run):\n    {body}\n")
    project.run().assert_outcomes(**{outcome: 1})


@pytest.mark.parametrize("body", ["pass", 'assert run.verdict == "pass"'])
def test_the_failure_ends_with_how_to_see_it_again(project: Project, body: str) -> None:
    """The story, then `kchaos replay` and a pytest file, which fails until the manifest is mended; the corpus is replayed first."""
    project.test(DRAIN.format("blocked") + f"def test_it(run):\n    {body}\n")
    result = project.run("--tb=short")
    text = result.stdout.str()
    told = re.search(r"the same again:\n(.*)\n(.*)\n", text)
    assert told is not None and re.search(r"KC203 drain-ends: Deployment/default/web: .*\[deploy/blocked.yaml:2\]", text), text
    scenario, test = told[1].strip().removeprefix("kchaos replay "), told[2].strip().removeprefix("python -m pytest ")
    assert scenario == "kchaos-corpus/test_app-test_it/KC203-ba5d2fd7.scenario.json"
    assert load(project.path / scenario).name.startswith("test_app.py::test_it: KC203")
    project.run(test).assert_outcomes(failed=1)
    again = project.run("test_app.py")
    assert "corpus 1" in again.stdout.str()
    project.manifest("blocked", "healthy")
    mended = project.run("test_app.py", test)
    mended.assert_outcomes(passed=2)
    assert f"mended: {scenario} does not fail any more" in mended.stdout.str()


def test_examples_are_at_least_level_1(project: Project) -> None:
    """A small number leaves no verdict unknown."""
    project.test('@chaos("deploy/healthy.yaml", faults="drain", examples=1)\ndef test_it(run):\n    assert run.result.examples.run == 3\n')
    project.run().assert_outcomes(passed=1)


def test_paths_begin_at_the_test_then_at_rootdir(project: Project) -> None:
    """The nearer file wins."""
    project.manifest("near", "healthy")
    (project.path / "tests" / "deploy").mkdir(parents=True)
    (project.path / "deploy" / "near.yaml").rename(project.path / "tests" / "deploy" / "healthy.yaml")
    body = "def test_{}(run):\n    assert list(run.result.inputs) == [{!r}]\n"
    near = DRAIN.format("healthy") + body.format("near", "tests/deploy/healthy.yaml")
    far = '@chaos("deploy/block*.yaml", faults="none", fail_on="error")\n' + body.format("far", "deploy/blocked.yaml")
    project.test(near + far, "tests/test_app.py")
    project.run().assert_outcomes(passed=2)


def test_kchaos_yaml_is_found_and_counts(project: Project) -> None:
    """What it accepts fails nothing; it is looked for beside the manifests."""
    accept = "version: 1\naccept:\n  - {id: KC203, reason: known, date: 2026-01-01}\n"
    (project.path / "deploy" / "kchaos.yaml").write_text(accept, encoding="utf-8")
    project.test(DRAIN.format("blocked") + "def test_it(run):\n    pass\n")
    project.run().assert_outcomes(passed=1)


def test_one_campaign_for_all_that_ask_the_same(project: Project) -> None:
    """Methods of a class and parameters share it; a test that looks does not look for others; each parameter may have its own."""
    project.test("""
@chaos("deploy/blocked.yaml", faults="drain", examples=3)
class TestShop:
    def test_looks(self, run):
        assert run.verdict == "fail"

    def test_does_not(self, run):
        pass

    @pytest.mark.parametrize("n", [1, 2])
    def test_n(self, run, n):
        assert run.verdict == "fail"

HEALTHY = chaos("deploy/healthy.yaml", faults="drain", examples=3)

@pytest.mark.parametrize("verdict", [pytest.param("pass", marks=HEALTHY), pytest.param("pass", marks=HEALTHY, id="b")])
def test_each(run, verdict):
    assert run.verdict == verdict
""")
    result = project.run()
    result.assert_outcomes(passed=5, failed=1)
    assert "kchaos: 3 campaigns: 1 fail, 2 pass" in result.stdout.str()
    assert [one.name for one in (project.path / "kchaos-corpus").iterdir()] == ["test_app-TestShop"]


@pytest.mark.parametrize(
    ("decorator", "says"),
    [
        ('@chaos("deploy/nothing-*.yaml")', "no file matches deploy/nothing-*.yaml in ."),
        ('@chaos("deploy/helthy.yaml")', "did you mean deploy/healthy.yaml?"),
        ("@chaos()", "no manifests"),
        ('@chaos("deploy/healthy.yaml", faults="drian")', "did you mean drain"),
        ('@chaos("deploy/healthy.yaml", examples=0)', "examples is 0"),
        ('@chaos("deploy/healthy.yaml", fail_on="bad")', "fail_on is 'bad'"),
        ('@chaos("deploy/healthy.yaml", nodes=3, topology="t.yaml")', "leave out nodes and zones"),
        ('@chaos("a: 1\\n")', "nothing to run"),
        ('@chaos("deploy/healthy.yaml", namespace="Not Valid!")', "'Not Valid!' can't name a namespace (write small letters"),
        ('@chaos("deploy/healthy.yaml", namespace=5)', "namespace is 5: write a text"),
        ('@chaos("deploy/healthy.yaml", sets="a=b")', "sets needs a chart, and no path is one (give the chart's folder"),
        ('@chaos("a: 1\\n", context="deploy/healthy.yaml", values="v.yaml")', "values needs a chart, and no path is one"),
        ('@chaos("deploy/healthy.yaml", faults=["drain", 3])', "one of faults is 3: write a text"),
        ('@chaos("deploy/healthy.yaml", faults=3)', "one of faults is 3: write a text"),
        ('@chaos(5)', "one of manifests is 5: write a text"),
        ('@chaos("deploy/healthy.yaml", fail_on=["error"])', "fail_on is ['error']: write a text"),
        ('@chaos("deploy/healthy.yaml", topology=3)', "topology is 3: write a path"),
        ('@chaos("deploy/healthy.yaml", examples=[1])', "examples is [1]"),
        ('@chaos("deploy/healthy.yaml", properties=3)', "properties is 3: write a list of functions"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_words(project: Project, decorator: str, says: str) -> None:
    """What, where and what to write instead; none of our own code."""
    project.test(f"{decorator}\ndef test_it(run):\n    pass\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert says in text and str(ROOT) not in text and "Traceback" not in text


def test_a_mistake_is_its_own_tests_error(project: Project) -> None:
    """The other tests of its file are collected and run."""
    project.test('@chaos("deploy/healthy.yaml", faults=["drain", 3])\ndef test_it(run):\n    pass\n\ndef test_other():\n    pass\n')
    project.run().assert_outcomes(errors=1, passed=1)


def test_run_and_chaos_belong_together(project: Project) -> None:
    """One without the other is told, also if the user's own fixture is in the way."""
    project.test('def test_run(run):\n    pass\n\n@chaos("deploy/healthy.yaml")\ndef test_chaos():\n    pass\n')
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*decorate the test with @chaos*", "*takes its answer as `run`: write `def test_*"])
    project.test(
        "@pytest.fixture\ndef run():\n    return 1\n\ndef test_own(run):\n    assert run == 1\n\n"
        + DRAIN.format("healthy")
        + "def test_it(run):\n    pass\n\n"
        + DRAIN.format("healthy")
        + "def test_other(kchaos_run, run):\n    assert run == 1\n"
    )
    result = project.run()
    result.assert_outcomes(errors=1, passed=2)
    result.stdout.fnmatch_lines(["*your own fixture `run` hides that of kchaos: take `kchaos_run`*"])


def test_what_fails_otherwise_says_nothing_of_a_campaign_that_passed(project: Project) -> None:
    """Its text is the test's own."""
    project.test(DRAIN.format("healthy") + "def test_it(run):\n    assert 1 == 2\n")
    result = project.run("--kchaos-report=none")
    assert "--- kchaos ---" not in result.stdout.str()
    assert not (project.path / ".kchaos").exists()


OWN = """
from kchaos import always, eventually

@always(id="WEB-1", title="web is asked for")
def asked(cluster):
    return cluster.workloads["default/web"].desired > 0

@eventually(id="WEB-2", within_s=60)
def three(cluster):
    return cluster.workloads["default/web"].ready == 99

@chaos("deploy/healthy.yaml", faults="drain", examples=3, properties=[{}])
def test_it(run):
    assert [one.id for one in run.result.properties] == ["WEB-1", "WEB-2"]
    assert run.verdict == "fail" and [one.id for one in run.failures] == ["WEB-2"]
"""


def test_properties_of_the_test_s_own(project: Project) -> None:
    """Decorated functions are judged; what fails is kept, and fails again by itself, in this process or another."""
    project.test(OWN.format("asked, three"))
    project.run().assert_outcomes(passed=1)
    (kept,) = (project.path / "kchaos-corpus").rglob("*WEB-2*.scenario.json")
    assert load(kept).inputs["properties"][1]["says"] == {"file": "test_app.py", "name": "three"}
    (test,) = (project.path / "kchaos-corpus").rglob("test_*.py")
    project.run_apart(str(test)).assert_outcomes(failed=1)


def test_a_property_that_is_none(project: Project) -> None:
    """Told in one sentence."""
    project.test(OWN.format("len"))
    result = project.run()
    result.assert_outcomes(errors=1)
    assert 'one of properties is none: write @always(id="SHOP-1") above its function' in result.stdout.str()


@pytest.mark.parametrize("page", ["docs/pytest.md", "README.md"])
def test_the_documented_example_works(project: Project, page: str) -> None:
    """As it stands there."""
    code = re.search(r"```python\n((?:#.*\n)?from kchaos import chaos\n.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert code is not None
    text = (project.path / "deploy" / "healthy.yaml").read_text(encoding="utf-8").replace("replicas: 2", "replicas: 3")
    for one in (project.path / "deploy").iterdir():
        one.unlink()
    (project.path / "deploy" / "web.yaml").write_text(text, encoding="utf-8")
    project.test(code[1])
    project.run().assert_outcomes(passed=2)
