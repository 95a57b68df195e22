"""A project of somebody's own, with manifests to test: one application that can't be drained, and its healthy twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import SITUATIONS


class Project:
    """A folder with ``deploy/blocked.yaml``, ``deploy/healthy.yaml`` and tests."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path: Path = pytester.path
        for name in ("blocked", "healthy"):
            self.manifest(name, name)

    def manifest(self, name: str, content: str) -> None:
        """Write ``deploy/NAME.yaml`` as the application that is blocked or healthy."""
        source = SITUATIONS / {"blocked": "budget-blocks-drain.yaml", "healthy": "budget-blocks-drain.healthy.yaml"}[content]
        (self.path / "deploy").mkdir(exist_ok=True)
        (self.path / "deploy" / f"{name}.yaml").write_bytes(source.read_bytes())

    def test(self, text: str, name: str = "test_app.py") -> None:
        """Write a test file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import pytest\nfrom kchaos import chaos\n\n" + text, encoding="utf-8")

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest there, in this process."""
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-p", "no:asyncio", *args)

    def run_apart(self, *args: str) -> pytest.RunResult:
        """Run pytest there, in a process of its own."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly", *args)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)
