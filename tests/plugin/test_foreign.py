"""A foreign project with the built wheel, installed, and what it declares to need, and nothing else: on two workers, in any order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.meta.test_wheel import build
from tests.support import SITUATIONS

BESIDE = ("pytest", "pytest-xdist", "pytest-randomly", "pytest-random-order", "pytest-asyncio", "anyio")
SUITE = """
import asyncio
import pytest
import kchaos
from kchaos import ChaosRun, ClusterMachine, SimulatedCluster, chaos, invariant


def test_installed():
    assert "site-packages" in kchaos.__file__


@chaos("../deploy/healthy.yaml", faults="drain,rollout,leader-crash", examples=20)
def test_healthy(run: ChaosRun):
    assert run.verdict == "pass", run


@chaos("deploy/blocked.yaml", faults="drain", examples=3)
def test_blocked(run: ChaosRun):
    assert [one.id for one in run.failures] == ["KC203"]
    assert "kchaos replay" in str(run)


@pytest.mark.parametrize("node", ["node-1", "node-2", "node-3"])
def test_comes_back(cluster: SimulatedCluster, node: str):
    cluster.deploy("deploy/healthy.yaml")
    with cluster.inject("node-power-loss", node):
        cluster.advance(60)
    cluster.eventually(lambda: cluster.ready("Deployment/default/web") == 2)
    cluster.judge()


@pytest.mark.asyncio
async def test_asyncio(cluster):
    cluster.apply("deploy/healthy.yaml")
    await asyncio.sleep(0)
    cluster.settle()


@pytest.mark.anyio
async def test_anyio(cluster):
    cluster.settle()


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Shop(ClusterMachine):
    manifests = ("../deploy/healthy.yaml",)
    faults = ("drain", "rollout")
    examples = 5
    seed = 3
    one_at_a_time = True

    @invariant()
    def somebody_is_there(self):
        assert self.cluster.pods("Deployment/default/web")


TestShop = Shop.TestCase
"""


def needed(*names: str) -> Iterator[Distribution]:
    """Yield distributions and all that they need, extras left out, each once."""
    from packaging.requirements import Requirement

    todo, seen = list(names), {}
    while todo:
        name = todo.pop()
        key = name.lower().replace("_", "-")
        if key in seen or key == "kchaos":
            continue
        seen[key] = found = distribution(name)
        wanted = [Requirement(one) for one in found.requires or ()]
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
        yield found


def lend(found: Distribution, site: Path) -> None:
    """Let another environment have a distribution of this one."""
    tops = {
        Path(str(one)).parts[0]
        for one in found.files or ()
        if not str(one).startswith("..") and "__pycache__" not in Path(str(one)).parts[0]
    }
    for top in sorted(tops):
        source = Path(str(found.locate_file(top)))
        if source.exists() and not (site / top).exists():
            (site / top).symlink_to(source, target_is_directory=source.is_dir())


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new environment that has the wheel, what it declares, and the pytest plugins that others use."""
    folder = tmp_path_factory.mktemp("foreign")
    wheel = build(folder)
    venv.create(folder / "venv", symlinks=os.name != "nt")
    (scripts,) = [one for one in (folder / "venv" / "bin", folder / "venv" / "Scripts") if one.is_dir()]
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(scripts / "python"),
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = [one.parent for one in (folder / "venv").rglob("kchaos") if (one / "plugin.py").is_file()]
    metadata = next(site.glob("kchaos-*.dist-info")).joinpath("METADATA").read_text(encoding="utf-8")
    declared = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.M)  # what extras need has a marker
    assert "hypothesis" in declared and "pytest" not in declared
    for one in needed(*BESIDE, *declared):
        lend(one, site)
    return scripts / "python"


@pytest.mark.needs("setuptools")
@pytest.mark.parametrize(
    "order", [("-n2", "-p", "no:randomly"), ("-n2",), ("-p", "no:randomly"), ("-n2", "-p", "no:randomly", "--random-order")], ids=" ".join
)
def test_a_foreign_project(python: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    """Its suite passes, and leaves one report."""
    (tmp_path / "deploy").mkdir()
    for name, file in (("blocked", "budget-blocks-drain.yaml"), ("healthy", "budget-blocks-drain.healthy.yaml")):
        (tmp_path / "deploy" / f"{name}.yaml").write_bytes((SITUATIONS / file).read_bytes())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_shop.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = tests\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *order]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout and "kchaos: 3 campaigns: 1 fail, 2 pass" in done.stdout  # the state machine is the third
    assert (tmp_path / ".kchaos" / "pytest" / "report.html").is_file()
