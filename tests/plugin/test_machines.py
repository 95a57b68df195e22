"""State machines under the plugin: options, corpus by class, what is said when a saved failure does not fail the same way, the report."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]
SHOP = """
from kchaos import ClusterMachine, invariant

class {name}(ClusterMachine):
    manifests = ("deploy/{manifest}.yaml",)
    faults = ("drain",)
    topology = (3, 3)
    examples = 6
    shrinks = 20
    seed = 1
{claim}
Test{name} = {name}.TestCase
"""


def shop(name: str = "Shop", manifest: str = "blocked", claim: str = "") -> str:
    return SHOP.format(name=name, manifest=manifest, claim=claim)


def campaigns(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((project.path / "out.json").read_text(encoding="utf-8"))["campaigns"]
    return found


def test_a_machine_is_in_the_report(project: Project) -> None:
    """With its verdict and its text; its files name the test."""
    project.test(shop())
    result = project.run("--kchaos-report=out.json", "--kchaos-report=out.html", "test_app.py")
    (one,) = campaigns(project)
    assert (one["verdict"], one["tests"]) == ("fail", {"test_app.py::TestShop::runTest": "failed"})
    assert "KC203 drain-ends" in one["words"] and "how it came to that" in one["text"]
    assert "KC203" in (project.path / "out.html").read_text(encoding="utf-8")
    result.stdout.fnmatch_lines(["*kchaos replay kchaos-corpus/test_app.Shop/drain-ends-*.scenario.json", "kchaos: 1 campaign: 1 fail"])
    (scenario,) = (project.path / "kchaos-corpus" / "test_app.Shop").glob("*.scenario.json")
    assert json.loads(scenario.read_text(encoding="utf-8"))["name"].startswith("test_app.py::TestShop::runTest: KC203 drain-ends")


def test_each_class_has_its_own_failures(project: Project) -> None:
    """Classes of one name in two files, and of names that begin alike."""
    project.test(shop() + shop("ShopFront", "healthy"))
    project.test(shop(manifest="healthy"), "test_other.py")
    for _ in range(2):
        project.run("test_app.py", "test_other.py").assert_outcomes(failed=1, passed=2)
    assert [one.name for one in (project.path / "kchaos-corpus").iterdir()] == ["test_app.Shop"]


def test_options_are_for_machines_too(project: Project) -> None:
    """Budget, corpus, replay: the saved failure alone, where it belongs."""
    project.test(shop() + shop("Other", "healthy", """
    def teardown(self):
        print("ENDED")
        super().teardown()
"""))  # fmt: skip
    result = project.run("-s", "--kchaos-corpus=found", "--kchaos-budget=3", "test_app.py")
    assert 3 <= result.stdout.str().count("ENDED") < 6  # Hypothesis does not count what it takes for invalid
    (scenario,) = (project.path / "found" / "test_app.Shop").glob("*.scenario.json")
    again = project.run(f"--kchaos-replay={scenario}", "--kchaos-corpus=found", "test_app.py")
    again.assert_outcomes(failed=1, deselected=1)
    assert "is still broken" in again.stdout.str()
    project.manifest("blocked", "healthy")
    project.run(f"--kchaos-replay={scenario}", "test_app.py").assert_outcomes(passed=1, deselected=1)
    timed = project.run("-s", "--kchaos-budget=0.001s", "-k", "Other", "test_app.py")
    assert timed.stdout.str().count("ENDED") == 1


def test_another_failure_than_the_saved_one_is_said_to_be_another(project: Project) -> None:
    """The saved steps break a claim that was not there when they were saved."""
    project.test(shop())
    project.run("test_app.py").assert_outcomes(failed=1)
    project.manifest("blocked", "healthy")
    project.test(shop(claim="\n    @invariant()\n    def nobody(self):\n        assert not self.cluster.nodes()\n"))
    result = project.run("test_app.py")
    assert "Shop breaks another way than before: nobody" in result.stdout.str()
    assert "still broken" not in result.stdout.str()


def test_other_machines_are_named(project: Project) -> None:
    """Saved steps run on the machines that the class has now, and the text says that these are others."""
    project.test(shop())
    project.run("test_app.py")
    project.test(shop().replace("(3, 3)", "(2, 2)"))
    assert "on other machines than it was found on" in project.run("test_app.py").stdout.str()


def test_a_claim_that_raises_shows_no_internals(project: Project) -> None:
    """Asked of a saved failure, where rules have not kept what it needs: told where, and what to do; the same in the saved pytest file."""
    claim = """
    @invariant()
    def known(self):
        assert self.memory["a"] or not [n for n in self.cluster.list("Node") if n["spec"].get("unschedulable")]
    memory = {"a": 0}
"""
    project.test(shop(manifest="healthy", claim=claim))
    first = project.run("test_app.py")
    first.assert_outcomes(failed=1)
    test = re.search(r"python -m pytest (\S+)", first.stdout.str())
    assert test is not None, first.stdout.str()
    project.test(shop(manifest="healthy", claim=claim.replace('{"a": 0}', "{}")))
    for args in ((test[1],), ("test_app.py",)):
        text = project.run(*args).stdout.str()
        assert "Shop.known can't be judged at test_app.py:" in text and "KeyError: 'a'" in text
        assert "kubernetes.py" not in text and "subject.py" not in text


def test_mistakes_show_no_internals(project: Project) -> None:
    """What is wrong with a class is one sentence."""
    project.test(shop(manifest="blokced"))
    text = project.run("test_app.py").stdout.str()
    assert "did you mean" in text or "no such file" in text
    assert "explore.py" not in text and "subject.py" not in text


def test_a_workload_that_never_was_is_no_zero(project: Project) -> None:
    """A typo in a claim is an error with the right name."""
    claim = '\n    @invariant()\n    def there(self):\n        assert self.cluster.ready("Deployment/default/wep") == 0\n'
    project.test(shop(manifest="healthy", claim=claim))
    text = project.run("test_app.py").stdout.str()
    assert "there is no Deployment/default/wep, and never was (there is Deployment/default/web)" in text
