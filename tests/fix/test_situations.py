"""The nine situations: a diff of ten lines at most that `git apply` takes and that mends all, or an operator's command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kchaos.cli import run_cli
from tests.support import SITUATIONS

MENDED = (
    "budget-blocks-drain", "packed-on-one-node", "zonal-volume", "endpoint-race", "one-replica", "quota-blocks-surge", "webhook-deadlock",
)  # fmt: skip
OPERATED = {
    "dead-node-keeps-pod": "kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
    "stuck-after-bad-template": "kubectl delete pod --namespace default store-2",
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs `kchaos run --fix` on a copy of a situation: the exit code and the result."""
    monkeypatch.chdir(tmp_path)

    def ask(name: str, *more: str) -> tuple[int, dict[str, Any]]:
        if not Path(f"{name}.yaml").exists():
            shutil.copy(SITUATIONS / f"{name}.yaml", tmp_path)
        code = run_cli(["run", f"{name}.yaml", "--corpus", "none", "--out", "out", "--json", *more])
        return code, json.loads(capfd.readouterr().out)

    return ask


@pytest.mark.parametrize("name", MENDED)
def test_a_small_diff_mends_it(name: str, asked: Any, tmp_path: Path) -> None:
    """Applied by git, the same run passes with ``--fail-on warning``; the file itself was not touched before."""
    _, result = asked(name, "--fix")
    change = result["change"]
    assert (SITUATIONS / f"{name}.yaml").read_bytes() == Path(f"{name}.yaml").read_bytes()
    assert change["after"] == [0, 0] and change["passes"] and change["left"] == []
    assert 0 < change["lines"] <= 10
    assert change["level1"][0] == change["level1"][1] > 15
    assert set(change["mended"]) >= {one["fingerprint"] for one in result["findings"] if one["severity"] != "info"}
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "apply", "--check", "out/fix.patch"], check=True)
    subprocess.run(["git", "apply", "out/fix.patch"], check=True)
    comments = [row for row in (SITUATIONS / f"{name}.yaml").read_text(encoding="utf-8").splitlines() if "#" in row]
    assert [row for row in Path(f"{name}.yaml").read_text(encoding="utf-8").splitlines() if "#" in row] == comments
    code, again = asked(name, "--fail-on", "warning")
    assert (code, again["verdict"]) == (0, "pass")
    assert not Path("out/fix.patch").exists(), "a patch of an earlier run does not stay"


@pytest.mark.parametrize("name", sorted(OPERATED))
def test_where_no_edit_helps_an_operator_does(name: str, asked: Any) -> None:
    """The command is given in the simulation, and all pods serve again after it."""
    _, result = asked(name, "--fix")
    change = result["change"]
    assert not change["diff"] and not change["edits"]
    (command,) = change["commands"]
    assert command["commands"] == [OPERATED[name]]
    assert 0 <= command["serves_s"] < 120
    assert command["finding"] in {one["fingerprint"] for one in result["findings"]}
    assert not Path("out/fix.patch").exists()


def test_nothing_to_mend_is_said(asked: Any) -> None:
    """A healthy twin gets no diff."""
    _, result = asked("one-replica.healthy", "--fix")
    assert result["change"]["edits"] == [] and result["change"]["before"] == [0, 0]
