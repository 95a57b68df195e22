"""Beside others: a suite that does not use it hardly notices; asynchronous tests, random order, Hypothesis profiles of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]
SMALL = {"kchaos", "kchaos.plugin", "kchaos.testing", "kchaos.testing.marks", "kchaos.testing.options", "kchaos.testing.session"}
"""All that is loaded until a test asks for an answer."""
HEAVY = ("hypothesis", "msgspec", "yaml", "jinja2", "click", "rich", "multiprocessing")
SPY = """
import json, sys

def pytest_unconfigure(config):
    with open("loaded.json", "w") as file:
        json.dump(sorted(sys.modules), file)
"""


def loaded(project: Project) -> list[str]:
    """Return the modules that pytest had loaded at its end."""
    found: list[str] = json.loads((project.path / "loaded.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    "text",
    ["def test_it():\n    pass\n", '@chaos("deploy/healthy.yaml")\ndef test_chaos(run):\n    pass\n\ndef test_it(tmp_path):\n    pass\n'],
)
def test_a_suite_that_does_not_use_it_loads_next_to_nothing(project: Project, text: str) -> None:
    """Neither without any ``@chaos`` nor where none is selected."""
    project.test(text)
    (project.path / "conftest.py").write_text(SPY, encoding="utf-8")
    others = [
        part for name in ("xdist", "anyio", "asyncio", "hypothesispytest") for part in ("-p", f"no:{name}")
    ]  # what these load is theirs
    result = project.run_apart(*others, "-k", "test_it")
    result.assert_outcomes(passed=1, deselected=text.count("@chaos"))
    names = loaded(project)
    assert {name for name in names if name.partition(".")[0] == "kchaos"} <= SMALL
    assert [name for name in names if name in HEAVY] == []


ASYNC = """
import asyncio

@{mark}
@chaos("deploy/healthy.yaml", faults="drain", examples=3)
async def test_run(run):
    await asyncio.sleep(0)
    assert run.verdict == "pass"

@{mark}
@chaos("deploy/blocked.yaml", faults="drain", examples=3)
async def test_does_not_look(run):
    await asyncio.sleep(0)

@{mark}
async def test_cluster(cluster):
    before = asyncio.current_task()
    cluster.apply("deploy/healthy.yaml")
    cluster.eventually(lambda: cluster.ready("Deployment/default/web") == 2)
    assert asyncio.current_task() is before and asyncio.get_running_loop() is before.get_loop()
    await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        cluster.advance(100)
"""


@pytest.mark.parametrize("mark", ["pytest.mark.asyncio", "pytest.mark.anyio"])
def test_asynchronous_tests(project: Project, mark: str) -> None:
    """The simulation runs inside their loop and gives it back."""
    project.test(ASYNC.format(mark=mark) + '\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n')
    project.run_apart().assert_outcomes(passed=2, failed=1)


@pytest.mark.parametrize("order", [("-p", "no:randomly"), ("-p", "randomly", "-p", "no:random_order"), ("--random-order-bucket=global",)])
def test_any_order_finds_the_same(project: Project, order: tuple[str, ...]) -> None:
    """Also where the random module is seeded anew before each test."""
    tests = "".join(
        f'@chaos("deploy/{"blocked" if n % 2 else "healthy"}.yaml", examples=25, seed={n})\ndef test_{n}(run):\n    assert run.verdict\n\n'
        for n in range(3)
    )
    project.test(tests)
    digests = []
    for more in (("-p", "no:randomly"), order):
        result = project.pytester.runpytest_subprocess("-p", "no:cacheprovider", *more, "--kchaos-report=out.json", "test_app.py")
        result.assert_outcomes(passed=3)
        found = json.loads((project.path / "out.json").read_text(encoding="utf-8"))
        digests.append({one["name"]: one["result"]["digest"] for one in found["campaigns"]})
    assert digests[0] == digests[1]


def test_the_users_hypothesis_profile_stays_and_freezes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``CI=1`` state machines draw something else each time; the settings that the user has loaded are the same afterwards."""
    monkeypatch.setenv("CI", "1")
    project.test("""
import hypothesis, json
from kchaos import ClusterMachine, invariant

hypothesis.settings.register_profile("mine", max_examples=3, derandomize=True)
hypothesis.settings.load_profile("mine")
DONE = []

class Shop(ClusterMachine):
    manifests = ("deploy/healthy.yaml",)
    faults = ("drain", "rollout", "pod-kill")
    topology = (3, 3)
    examples = 4
    steps = 6

    def teardown(self):
        DONE.append([step.do + str(step.args) for step in self._session.scenario.steps])
        super().teardown()

TestShop = Shop.TestCase

@chaos("deploy/healthy.yaml", examples=20)
def test_it(run):
    pass

def test_after():
    default = hypothesis.settings.default
    assert (default.max_examples, default.derandomize) == (3, True)
    with open("done.json", "a") as file:
        file.write(json.dumps(DONE) + "\\n")
""")
    for _ in range(2):
        project.run_apart("-p", "no:randomly").assert_outcomes(passed=3)
    first, second = (project.path / "done.json").read_text(encoding="utf-8").splitlines()
    assert first != second and json.loads(first)


def test_sessions_leave_no_trace_in_the_project(project: Project) -> None:
    """But the report: neither a database of examples nor anything else."""
    project.test(
        '@chaos("deploy/healthy.yaml", examples=20)\ndef test_it(run):\n    pass\n\ndef test_cluster(cluster):\n    cluster.advance(1)\n'
    )
    project.run_apart("-p", "no:randomly")
    names = sorted(Path(one).name for one in project.path.iterdir())
    ours = [name for name in names if not name.startswith(("runpytest", "std", "__pycache__"))]  # the others are pytester's
    assert ours == [".kchaos", "deploy", "test_app.py"]
