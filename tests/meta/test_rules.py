"""Rules about the code itself: what models may import, what the instrument may name, encodings, packages."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

FORBIDDEN = {"time", "random", "uuid", "secrets", "socket", "threading", "multiprocessing", "subprocess", "datetime"}
KINDS = re.compile(
    r"\b(Pod|Pods|Deployment|StatefulSet|ReplicaSet|DaemonSet|PersistentVolume|ConfigMap|Namespace|Endpoints|EndpointSlice|kubelet|kubectl|kube-proxy|Service)\b"
)
ALLOWED_DATETIME = {"models/api/times.py"}


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield imported top-level modules, those under TYPE_CHECKING left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        id(below)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for below in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def calls_of(path: Path, module: str) -> list[int]:
    """Return the lines that use a module's attributes other than in annotations of type Random."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module and node.attr != "Random"
    ]


@pytest.mark.parametrize("path", sources("models"), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_models_reach_the_world_through_runtime_only(path: Path) -> None:
    """Nothing in models/ imports time, random, threads or sockets; ``random.Random`` may stand in annotations."""
    relative = path.relative_to(ROOT).as_posix()
    for line, module in imports(path):
        if module == "random":
            assert calls_of(path, "random") == [], f"{relative}:{line}"
        elif module == "datetime":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\.(now|utcnow|today)\(", text), f"{relative}:{line}"
        else:
            assert module not in FORBIDDEN, f"{relative}:{line} imports {module}"


@pytest.mark.parametrize("folder", ["kchaos/sim", "kchaos/nemesis", "kchaos/history", "kchaos/check"])
def test_the_instrument_names_no_kind(folder: str) -> None:
    """The lower layers know nothing of Kubernetes (of etcd they do: its faults and histories are theirs)."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if KINDS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["kchaos", "models", "properties", "reports", "fixtures"])
def test_text_files_are_opened_with_an_encoding(folder: str) -> None:
    """Windows would choose another."""
    missing = []
    for path in sources(folder):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg for keyword in node.keywords}
            text = name in ("read_text", "write_text")
            mode = next((a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)), "")
            opened = name == "open" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call) and "b" not in mode
            if (text or opened) and "encoding" not in given:
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert missing == []


def test_every_package_is_listed() -> None:
    """pyproject.toml lists each folder with an __init__.py, or a wheel would lack it."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    found = {"kchaos"}
    for top in ("kchaos", "models", "properties", "fixtures", "reports"):
        for init in sorted((ROOT / top).rglob("__init__.py")):
            parts = init.parent.relative_to(ROOT).parts
            if len(parts) > 1 and parts[:2] in (
                ("kchaos", "models"),
                ("kchaos", "properties"),
                ("kchaos", "fixtures"),
                ("kchaos", "reports"),
            ):
                continue
            found.add(".".join(parts if parts[0] == "kchaos" else ("kchaos", *parts)))
    assert found == listed


def test_a_second_import_is_refused() -> None:
    """``import models`` beside ``kchaos.models`` would make every class twice."""
    with pytest.raises(ImportError):
        __import__("models")


def test_links_lead_to_the_folders() -> None:
    """A checkout without symbolic links is told so."""
    for name in ("models", "properties", "fixtures", "reports"):
        link = ROOT / "kchaos" / name
        assert link.resolve() == ROOT / name, (
            f"kchaos/{name} must be a link to ../{name}: enable symbolic links (git config core.symlinks true) and check out again"
        )


def test_modules_are_small() -> None:
    """Under 500 lines each."""
    large = [
        f"{p.relative_to(ROOT)}: {n}"
        for top in ("kchaos", "models", "properties", "reports")
        for p in sources(top)
        if (n := p.read_text(encoding="utf-8").count("\n")) > 500
    ]
    assert large == []
