"""The nine situations: a diff of ten lines at most that `git apply` takes and that mends all, or an operator's command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kchaos.check.property import Severity
from kchaos.cli import run_cli
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.execute import Question, execute
from kchaos.engine.machines import of_numbers
from kchaos.fix.suggest import Places, suggest
from kchaos.models.manifests.load import Text
from tests.support import SITUATIONS

LEVEL1 = {
    "budget-blocks-drain": 23, "packed-on-one-node": 17, "zonal-volume": 16, "endpoint-race": 29, "one-replica": 16, "quota-blocks-surge": 29,
    "webhook-deadlock": 38, "dead-node-keeps-pod": 16, "stuck-after-bad-template": 29,
}  # fmt: skip
"""Scenarios of level 1."""
OPERATED = {
    "dead-node-keeps-pod": "kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
    "stuck-after-bad-template": "kubectl delete pod --namespace default store-2",
}


def question(name: str, budget: BudgetOption) -> Question:
    """Return what is asked of a situation."""
    text = Text(f"{name}.yaml", (SITUATIONS / f"{name}.yaml").read_bytes())
    return Question(texts=[text], machines=lambda objects: of_numbers(None, None, objects), budget=budget, fail_on=Severity.WARNING)


@pytest.mark.parametrize("name", [name for name in LEVEL1 if name not in OPERATED])
def test_a_small_diff_mends_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Applied by git, the same question is answered with pass; comments are where they were."""
    asked = question(name, BudgetOption(LEVEL1[name]))
    answer = execute(asked)
    change = suggest(asked._replace(budget=BudgetOption()), answer, Places())
    assert change.after == (0, 0) and change.passes and not change.left and not change.stopped
    assert 0 < change.lines <= 10
    assert change.level1[0] == change.level1[1] > 15
    assert set(change.mended) >= {one.fingerprint for one in answer.result.findings if one.severity is not Severity.INFO}
    monkeypatch.chdir(tmp_path)
    file = Path(f"{name}.yaml")
    file.write_bytes(asked.texts[0].data)
    Path("fix.patch").write_bytes(change.diff.encode())
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "apply", "--check", "fix.patch"], check=True)
    subprocess.run(["git", "apply", "fix.patch"], check=True)
    before, after = asked.texts[0].data.decode(), file.read_text(encoding="utf-8")
    assert [row for row in after.splitlines() if "#" in row] == [row for row in before.splitlines() if "#" in row]
    again = execute(asked._replace(texts=[Text(file.name, file.read_bytes())], budget=BudgetOption(examples=change.level1[1])))
    assert again.result.verdict == "pass", [(one.id, one.summary) for one in again.result.findings]


@pytest.mark.parametrize("name", sorted(OPERATED))
def test_where_no_edit_helps_an_operator_does(name: str) -> None:
    """The command is given in the simulation, and all pods serve again after it."""
    asked = question(name, BudgetOption(LEVEL1[name]))
    answer = execute(asked)
    change = suggest(asked._replace(budget=BudgetOption()), answer, Places())
    assert not change.diff and not change.edits and not change.passes
    (command,) = change.commands
    assert command.commands == (OPERATED[name],)
    assert 0 <= command.serves_s < 120
    assert command.finding in {one.fingerprint for one in answer.result.findings}


def test_the_command_line_writes_a_patch_and_no_file_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says how to apply it; the next run takes the old patch away, and says that a change can be searched for."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SITUATIONS / "budget-blocks-drain.yaml", "a b.yaml")
    before = Path("a b.yaml").read_bytes()
    options = ["run", "a b.yaml", "--corpus", "none", "--out", "out", "--faults", "drain"]
    assert run_cli([*options, "--fix", "-o", "html,json,md", "--budget", "60"]) == 1
    out = capfd.readouterr().out
    assert "What to change:\n  2 lines, and nothing is left to mend" in out
    assert "+  maxUnavailable: 1" in out
    assert "Nothing was changed. To change your files: git apply out/fix.patch" in out
    assert Path("a b.yaml").read_bytes() == before
    assert "+  maxUnavailable: 1" in Path("out/report.md").read_text(encoding="utf-8")
    assert '<code class="copy">--- a/a b.yaml' in Path("out/report.html").read_text(encoding="utf-8")
    assert json.loads(Path("out/result.json").read_bytes())["change"]["passes"]
    subprocess.run(["git", "apply", "--check", "out/fix.patch"], check=True)
    assert run_cli([*options, "--budget", "5"]) == 1
    assert not Path("out/fix.patch").exists()
    assert "`kchaos run --fix` tries small edits" in capfd.readouterr().out


OWN = """
properties:
  - id: WEB-1
    title: two answer
    always: workloads["default/web"].serving >= 2
    for_s: 10
    faults_at_once: 1
    except_during: [zone-power-loss]
"""


def test_a_property_of_the_user_is_mended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A lost node leaves one of two for minutes: a third pod is the smallest edit, and nothing is said of other rules."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SITUATIONS / "budget-blocks-drain.healthy.yaml", "web.yaml")
    Path("kchaos.yaml").write_text(OWN, encoding="utf-8")
    assert run_cli(["run", "web.yaml", "--corpus", "none", "--fix", "--faults", "node-power-loss,drain", "--json"]) == 1
    result = json.loads(capfd.readouterr().out)
    assert {one["id"] for one in result["findings"] if one["severity"] == "error"} == {"WEB-1"}
    assert result["change"]["passes"] and "+  replicas: 3" in result["change"]["diff"]


def test_files_elsewhere_are_patched_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The printed command is for a shell in the folder where kchaos was called."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "here").mkdir()
    shutil.copy(SITUATIONS / "budget-blocks-drain.yaml", tmp_path / "shop")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path / "here")
    options = ["--corpus", "none", "--out", "out", "--faults", "drain", "--budget", "30", "--fix"]
    assert run_cli(["run", "../shop/budget-blocks-drain.yaml", *options]) == 1
    command = capfd.readouterr().out.partition("To change your files: ")[2].strip()
    assert command == f"git -C {tmp_path / 'shop'} apply {tmp_path / 'here' / 'out' / 'fix.patch'}"
    subprocess.run(command.split(), check=True)
    assert "maxUnavailable: 1\n  selector" in (tmp_path / "shop" / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
