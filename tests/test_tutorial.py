"""The tutorial, walked by a stranger: an empty folder, the built wheel, each step as it stands on the page, and what it promises."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.plugin.test_foreign import lend, needed, python  # noqa: F401  # a fixture: an environment with the wheel and nothing of ours
from tests.support import ROOT

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def block(language: str, begins: str) -> str:
    """Return the block of code of the page that begins so."""
    (found,) = [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if one.startswith(begins)]
    return str(found)


class Stranger:
    """Somebody in a folder of their own."""

    def __init__(self, python: Path, folder: Path) -> None:  # noqa: F811  # the same name, here a path
        self._python = python
        self.folder = folder
        self._env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "KCHAOS"))}

    def module(self, *command: str) -> tuple[int, str]:
        """Run a module of the environment; return the exit code and what it printed."""
        done = subprocess.run(
            [str(self._python), "-m", *command],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def kchaos(self, *arguments: str) -> tuple[int, str]:
        """Run kchaos."""
        return self.module("kchaos.cli", *arguments)

    def write(self, name: str, text: str) -> Path:
        """Save a file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def git(self, *command: str) -> None:
        """Run git."""
        subprocess.run(["git", *command], cwd=self.folder, check=True, capture_output=True)


@pytest.mark.needs("setuptools")
def test_each_step(python: Path, tmp_path: Path) -> None:  # noqa: F811  # the fixture
    """Ask, mend, promise, keep it so, break it, see it again, mend it, commit."""
    (site,) = [one.parent for one in python.parent.parent.rglob("kchaos") if (one / "plugin.py").is_file()]
    for one in needed("cel-expr-python"):  # pip install 'kchaos[cel]'
        lend(one, site)
    me = Stranger(python, tmp_path)
    shop = me.write("k8s/shop.yaml", block("yaml", "apiVersion: apps/v1"))
    code, out = me.kchaos("run", "k8s")
    assert code == 1 and out.startswith("FAIL: 1 error and 2 warnings in 82 examples (level 1 22/22, pairs 40/210, drawn 20)")
    assert (tmp_path / ".kchaos" / "k8s" / "report.html").stat().st_size > 10_000

    code, out = me.kchaos("run", "k8s", "--fix")
    assert code == 1 and "4 lines, and nothing is left to mend: level 1 passes 23/23" in out
    assert shop.read_text(encoding="utf-8") == block("yaml", "apiVersion: apps/v1")
    me.git("init", "-q", ".")
    me.git("apply", ".kchaos/k8s/fix.patch")
    code, out = me.kchaos("run", "k8s", "-q")
    assert (code, out.strip()) == (0, "PASS: no finding in 84 examples (level 1 23/23, pairs 40/231, drawn 20, corpus 1)")

    me.write("kchaos.yaml", block("yaml", "properties:"))
    code, out = me.kchaos("run", "k8s", "--fix")
    assert code == 1 and "SHOP-1 Deployment default/shop" in out and "+  replicas: 3" in out
    me.git("apply", ".kchaos/k8s/fix.patch")
    assert me.kchaos("run", "k8s", "-q")[0] == 0

    me.write("tests/test_shop.py", block("python", "from kchaos import chaos"))
    assert me.module("pytest", "-q", "-p", "no:cacheprovider")[0] == 0
    three = shop.read_text(encoding="utf-8")
    shop.write_text(three.replace("replicas: 3", "replicas: 2"), encoding="utf-8")
    code, out = me.module("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert code == 1
    (replay,) = re.findall(r"  kchaos replay (\S+SHOP-1\S+)", out)
    (test,) = re.findall(r"  python -m pytest (\S+)", out)
    code, out = me.kchaos("replay", replay)
    assert code == 1 and "SHOP-1" in out
    assert me.module("pytest", "-q", "-p", "no:cacheprovider", test)[0] == 1
    shop.write_text(three, encoding="utf-8")
    code, out = me.module("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert code == 0 and "does not fail any more" in out
    me.git("add", "k8s", "kchaos.yaml", "tests", "kchaos-corpus")
