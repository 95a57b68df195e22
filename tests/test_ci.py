"""The CI recipes in docs/ci: well-formed, and their kchaos commands write the files that the recipes then use."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support import ROOT, SITUATIONS

CI = ROOT / "docs" / "ci"
RUN = re.compile(r"(?:^|/)kchaos (?:run|report) ")
SHARDS = 4


class Recipe(NamedTuple):
    """What a recipe runs, in order, with the environment of each; the files and folders that it hands on."""

    commands: list[tuple[str, dict[str, str]]]
    used: list[str]


def document(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text(encoding="utf-8"))


def github(name: str) -> Recipe:
    """Return the steps of all jobs, those of a matrix once for each value."""
    commands, used = [], []
    for job in document(name)["jobs"].values():
        for shard in job.get("strategy", {}).get("matrix", {}).get("shard", [0]):
            for step in job["steps"]:
                text = json.dumps(step).replace("${{ matrix.shard }}", str(shard))
                one = json.loads(text)
                if "run" in one:
                    commands.append((one["run"], {}))
                given = one.get("with", {})
                used += [given[key] for key in ("path", "sarif_file") if key in given and not one["uses"].startswith("actions/cache")]
    return Recipe(commands, used)


def gitlab(name: str) -> Recipe:
    """Return the scripts of all jobs, those in parallel once for each node."""
    commands, used = [], []
    for job in document(name).values():
        if not isinstance(job, dict):
            continue
        for node in range(1, job.get("parallel", 1) + 1):
            variables = {"CI_NODE_INDEX": str(node), "CI_NODE_TOTAL": str(job.get("parallel", 1))}
            commands += [(line, variables) for line in job["script"]]
        used += [*job["artifacts"]["paths"], *job["artifacts"].get("reports", {}).values()]
    return Recipe(commands, used)


def jenkins(name: str) -> Recipe:
    """Return what `sh` runs, and the files of the publishers. (No parser of Groovy is at hand: brackets are counted.)"""
    text = (CI / name).read_text(encoding="utf-8")
    code = re.sub(r"//.*", "", text)
    assert all(code.count(a) == code.count(b) for a, b in ("{}", "[]", "()")) and code.count("'") % 2 == 0
    folder, file = (re.findall(rf"{key}: '([^']*)'", code)[0] for key in ("reportDir", "reportFiles"))
    used = [f"{folder}/{file}", *re.findall(r"testResults: '([^']*)'", code)]
    return Recipe([(line, {}) for line in re.findall(r"\bsh '([^']*)'", code)], used)


RECIPES = {
    "github-actions.yaml": github, "github-actions-shards.yaml": github, "gitlab-ci.yaml": gitlab, "gitlab-ci-shards.yaml": gitlab,
    "Jenkinsfile": jenkins,
}  # fmt: skip


def test_every_recipe_is_tested() -> None:
    """A new recipe needs a reader here, and a line in the README."""
    assert sorted(path.name for path in CI.iterdir()) == sorted([*RECIPES, "README.md"])
    told = (CI / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in told for name in RECIPES)


def test_actions_have_versions() -> None:
    """What an action does may change under a branch's name."""
    for name in RECIPES:
        for uses in re.findall(r"uses: (\S+)", (CI / name).read_text(encoding="utf-8")):
            assert re.fullmatch(r"[a-z-]+/[a-z-]+(/[a-z-]+)?@v\d+", uses), uses


@pytest.mark.skipif(shutil.which("bash") is None, reason="the recipes are for shells")
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs(name: str, tmp_path: Path) -> None:
    """On a healthy input every command passes (with a smaller budget), and what the recipe hands on is there."""
    recipe = RECIPES[name](name)
    (tmp_path / "k8s").mkdir()
    shutil.copy(SITUATIONS / "one-replica.healthy.yaml", tmp_path / "k8s")
    summary = tmp_path / "summary.md"
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    ran = 0
    for command, variables in recipe.commands:
        if not RUN.search(command) and not command.startswith("cat "):
            assert shlex.split(command)[-1] in ("kchaos", ".kchaos-venv")  # it installs
            continue
        line = command.replace(".kchaos-venv/bin/", "").replace("--budget 4000 -j 2", "--budget 80").replace("--budget 4000", "--budget 80")
        environment = {**os.environ, **variables, "PATH": path, "GITHUB_STEP_SUMMARY": str(summary)}
        done = subprocess.run(
            ["bash", "-e", "-c", line],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        ran += 1
    assert ran == (SHARDS + 1 if "shards" in name else 1) + name.startswith("github")
    for used in recipe.used:
        assert (tmp_path / used).exists(), used
    if name.startswith("github"):
        assert summary.read_text(encoding="utf-8").startswith("### ✅ PASS: ")
