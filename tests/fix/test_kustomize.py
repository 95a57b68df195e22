"""Rendered inputs: a kustomization of strategic merge patches, which kubectl applies to what was rendered."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kchaos.cli import run_cli
from kchaos.fix.edits import Edit, Op
from kchaos.fix.files import Draft
from kchaos.fix.kustomize import kustomization, strategic_patch
from kchaos.fix.surgery import EditRefused
from kchaos.models.api.patch import strategic_merge_patch
from kchaos.models.manifests.load import Text, load
from tests.support import ROOT, SITUATIONS, loaded

WEB = "Deployment/default/api"
POD = ("spec", "template", "spec")
SITUATION = (SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8")
EDITS = (
    Edit(Op.SET, WEB, ("spec", "replicas"), 5),
    Edit(Op.SET, WEB, (*POD, "containers", 0, "lifecycle", "preStop"), {"sleep": {"seconds": 5}}),
    Edit(Op.SET, WEB, ("spec", "strategy", "rollingUpdate", "maxSurge"), "30%"),
    Edit(Op.SET, WEB, (*POD, "topologySpreadConstraints", 0, "whenUnsatisfiable"), "ScheduleAnyway"),
    Edit(Op.APPEND, WEB, (*POD, "topologySpreadConstraints"), {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}),
    Edit(Op.REMOVE, WEB, ("spec", "strategy")),
)


def rendered(text: str) -> Draft:
    return Draft.of(loaded(text, "chart (rendered)").manifests, [Text("chart (rendered)", text.encode())], ["chart (rendered)"])


@pytest.mark.parametrize("edit", EDITS, ids=lambda one: f"{one.op} {one.path[-1]}")
def test_a_patch_does_what_its_edit_does(edit: Edit) -> None:
    """Applied by the API server's own rules it makes the same object, and it says no more than it must."""
    draft = rendered(SITUATION)
    old, new = draft.objects[WEB].obj, draft.with_edits([edit]).objects[WEB].obj
    patch = strategic_patch(old, new)
    assert strategic_merge_patch(old, patch) == new != old
    assert set(patch) == {"spec"} and len(json.dumps(patch)) < 420


def test_rendered_text_is_left_alone() -> None:
    """There is no file of the user to change: the kustomization names object and namespace as they were rendered."""
    draft = rendered(SITUATION.replace("name: api\n", "name: api\n  namespace: default\n", 1))
    added = Edit(
        Op.ADD,
        WEB,
        (),
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "api"}, "spec": {"maxUnavailable": 1}},
    )
    after = draft.with_edits([EDITS[0], added])
    assert after.texts == {}
    files = kustomization(draft, after, after.edits, "../base", ["how to"])
    assert files["kustomization.yaml"].startswith("# how to\napiVersion: kustomize.config.k8s.io/v1beta1\n")
    assert "resources:\n- ../base\n- poddisruptionbudget-api.yaml\npatches:\n- path: deployment-api.yaml\n" in files["kustomization.yaml"]
    assert "metadata:\n  name: api\n  namespace: default\nspec:\n  replicas: 5\n" in files["deployment-api.yaml"]
    assert len(load([Text("new.yaml", files["poddisruptionbudget-api.yaml"].encode())]).manifests) == 1


def test_what_no_patch_can_say_is_refused() -> None:
    """Two constraints with one topologyKey are one item to a strategic merge."""
    twice = Edit(
        Op.APPEND,
        WEB,
        (*POD, "topologySpreadConstraints"),
        {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
    )
    draft = rendered(SITUATION)
    with pytest.raises(EditRefused, match="no strategic merge patch"):
        strategic_patch(draft.objects[WEB].obj, draft.with_edits([twice]).objects[WEB].obj)


def _fixed(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run_cli(["run", *arguments, "--faults", "rollout", "--budget", "20", "--corpus", "none", "--out", "out", "--fix", "--json"]) == 0
    change: dict[str, Any] = json.loads(capfd.readouterr().out)["change"]
    assert change["passes"] and not change["diff"] and change["after"] == [0, 0]
    return change


@pytest.mark.needs("kubectl")
def test_a_kustomization_is_patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """On top of the user's own; what kubectl makes of both passes."""
    monkeypatch.chdir(tmp_path)
    Path("base").mkdir()
    Path("base/app.yaml").write_text(SITUATION, encoding="utf-8")
    Path("base/kustomization.yaml").write_text("resources: [app.yaml]\n", encoding="utf-8")
    _fixed(capfd, "base")
    made = subprocess.run(["kubectl", "kustomize", "out/fix"], check=True, capture_output=True).stdout
    Path("made.yaml").write_bytes(made)
    assert b"preStop:" in made
    assert (
        run_cli(["run", "made.yaml", "--faults", "rollout", "--budget", "2", "--fail-on", "warning", "--corpus", "none", "--out", "again"])
        == 0
    )


@pytest.mark.needs("helm", "kubectl")
def test_a_chart_is_patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The first line of the kustomization renders the chart, the second puts the patch on top."""
    monkeypatch.chdir(tmp_path)
    Path("chart/templates").mkdir(parents=True)
    Path("chart/Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n", encoding="utf-8")
    Path("chart/values.yaml").write_text("replicas: 3\n", encoding="utf-8")
    Path("chart/templates/app.yaml").write_text(SITUATION.replace("replicas: 3", "replicas: {{ .Values.replicas }}"), encoding="utf-8")
    _fixed(capfd, "chart", "--set", "replicas=2")
    for line in Path("out/fix/kustomization.yaml").read_text(encoding="utf-8").splitlines()[:2]:
        subprocess.run(line.removeprefix("# "), shell=True, check=True)
    made = subprocess.run(["kubectl", "kustomize", "out/fix"], check=True, capture_output=True).stdout
    assert b"preStop:" in made and b"replicas: 2" in made
    assert shutil.which("helm") and (ROOT / "fixtures").is_dir()
