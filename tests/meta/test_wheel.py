"""A wheel has every module and data file of the tree: what setuptools packs by pyproject.toml, against what git knows."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.support import ROOT

TOPS = ("kchaos", "models", "properties", "fixtures", "reports")
BESIDE = {"fixtures/applications/README.md", "fixtures/network/recordings/README.md", "fixtures/recordings/README.md"}
"""Of the packages' folders, what a wheel need not have."""


def setting(name: str) -> dict[str, list[str]]:
    """Return a table of pyproject.toml's setuptools section."""
    found: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][name]
    return found


def folder_of(package: str) -> Path:
    """Return where a package stands, by the longest prefix in package-dir, as setuptools looks it up."""
    folders: dict[str, str] = {key: str(value) for key, value in setting("package-dir").items()}  # type: ignore[arg-type]
    parts = package.split(".")
    for size in range(len(parts), 0, -1):
        head = ".".join(parts[:size])
        if head in folders:
            return ROOT / folders[head] / Path(*parts[size:])
    return ROOT / Path(*parts)


def packed() -> set[str]:
    """Return the files that go into a wheel, by their paths in the tree: modules of listed packages, and data by pattern."""
    out: set[str] = set()
    patterns = setting("package-data")
    for package in setting("packages"):
        folder = folder_of(package)
        assert folder.is_dir(), f"{package} is listed, and {folder} is not there"
        for pattern in ("*.py", *patterns.get("*", []), *patterns.get(package, [])):
            out.update(path.relative_to(ROOT).as_posix() for path in folder.glob(pattern) if path.is_file())
    return out


def tree() -> set[str]:
    """Return the files of the packages' folders that git knows, or, outside of a checkout, all that look like source."""
    done = subprocess.run(["git", "ls-files", "-z", *TOPS], cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        names = {name for name in done.stdout.decode("utf-8").split("\0") if name}
    else:
        names = {path.relative_to(ROOT).as_posix() for top in TOPS for path in (ROOT / top).rglob("*") if path.is_file()}
    links = {f"kchaos/{top}" for top in TOPS}
    return {
        name
        for name in names
        if name not in links | BESIDE
        and (ROOT / name).is_file()
        and not any(
            part in ("__pycache__", ".kchaos") or f"{'/'.join(PurePosixPath(name).parts[:2])}" in links
            for part in PurePosixPath(name).parts
        )
    }


def installed(name: str) -> str:
    """Return where a file of the tree stands in a wheel."""
    return name if name.startswith("kchaos/") else f"kchaos/{name}"


def test_every_file_is_packed() -> None:
    """Modules, templates, tables, sample applications, the marker of typed packages."""
    assert sorted(tree() - packed()) == []


@pytest.mark.parametrize(
    "name",
    ["kchaos/py.typed", "models/api/types.json", "reports/report.html.j2", "fixtures/applications/guestbook/frontend-deployment.yaml"],
)
def test_data_files(name: str) -> None:
    """The ones that the program reads, or that others rely on, by name."""
    assert (ROOT / name).is_file() and name in packed()


def test_nothing_that_git_does_not_know_is_read() -> None:
    """Each file that is opened as a package's resource exists."""
    for path in sorted(name for name in tree() if name.endswith(".py")):
        text = (ROOT / path).read_text(encoding="utf-8")
        for part in text.split("resources.files(__package__).joinpath(")[1:]:
            name = part.partition(")")[0].strip("\"'")
            assert f"{PurePosixPath(path).parent}/{name}" in packed(), path


def build(folder: Path) -> Path:
    """Build the wheel from what git knows, and return it."""
    source = folder / "source"
    for name in sorted(tree() | {"pyproject.toml", "README.md", "LICENSE"}):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.needs("setuptools")
def test_a_built_wheel(tmp_path: Path) -> None:
    """Where setuptools is new enough to build without a network: the wheel has just these files."""
    with zipfile.ZipFile(build(tmp_path)) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {installed(name) for name in tree()}
