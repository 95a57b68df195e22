"""The user's paths to texts: files, folders, globs, standard input; charts and kustomizations are rendered by the user's own tools."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kchaos.errors import HarnessError, InvalidScenario, Location
from kchaos.models.manifests.load import Text

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
RENDER_TIMEOUT_S = 120
NO_FILE = "a pipe, socket or device, not a file"


class HelmOptions(NamedTuple):
    """What goes to `helm template`."""

    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    namespace: str = "default"
    release: str = "release"
    kubernetes: str = "1.34"


def check_namespace(name: str) -> None:
    """Raise InvalidScenario for a name that no namespace can have (RFC 1123 label)."""
    if len(name) > 63 or re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) is None:
        raise InvalidScenario(f"{name!r} can't name a namespace", hint="write small letters, digits and -, at most 63")


def check_chart_options(given: Sequence[str], paths: Iterable[str | Path]) -> None:
    """Refuse options for charts, by the names they were given under, where no path is a chart: they would do nothing."""
    if given and not any((Path(path) / "Chart.yaml").is_file() for path in paths):
        raise InvalidScenario(f"{given[0]} needs a chart, and no path is one", hint="give the chart's folder, or leave it out")


def read_paths(paths: Sequence[str], helm: HelmOptions | None = None) -> list[Text]:
    """Return the texts behind paths, in order, each file once. Raises InvalidScenario for a path that is not there."""
    helm = helm or HelmOptions()
    texts: list[Text] = []
    seen: dict[str, None] = {}
    for path in paths:
        for text in _one(path, helm):
            if text.name not in seen or text.name == "-":
                seen[text.name] = None
                texts.append(text)
    return texts


def _one(path: str, helm: HelmOptions) -> Iterator[Text]:
    if path == "-":
        yield Text("-", _standard_input())
        return
    if not path:
        raise InvalidScenario("an empty path", hint="write . for the current folder")
    found = Path(path)
    if found.is_dir():
        yield from _folder(found, helm)
    elif found.is_file():
        yield _read(found)
    elif any(char in path for char in "*?["):
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  (patterns may be absolute)
        if not matches:
            raise InvalidScenario("no file matches this pattern", location=Location(path))
        for match in matches:
            if Path(match).is_file():
                yield _read(Path(match))
            elif not Path(match).is_dir():
                yield Text(Path(match).as_posix(), b"", NO_FILE)
    elif found.exists():
        only_files(found)
        yield _read(found)
    else:
        raise InvalidScenario("no such file or folder", location=Location(path), hint=_near(found))


def _standard_input() -> bytes:
    try:
        if sys.stdin is None:
            raise OSError(0, "it is closed")
        return sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is closed"
        raise InvalidScenario(f"can't read standard input: {why}", location=Location("-"), hint="pipe YAML into it") from error


def only_files(path: Path) -> None:
    """Refuse pipes and devices, whose reading may never end; what the shell hands over as /dev/fd/N is read."""
    if str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/")):
        return
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InvalidScenario(NO_FILE, location=Location(str(path)), hint="give a file; or write - and pipe it into standard input")


def _near(path: Path) -> str:
    import difflib

    try:
        names = sorted(one.name for one in (path.parent if str(path.parent) else Path()).iterdir())
    except OSError:
        return f"{path.parent} does not exist either"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"


def _read(path: Path) -> Text:
    try:
        return Text(path.as_posix().encode("utf-8", "replace").decode("utf-8"), path.read_bytes())
    except OSError as error:
        raise InvalidScenario(f"can't be read: {error.strerror}", location=Location(str(path))) from error


def _folder(folder: Path, helm: HelmOptions) -> Iterator[Text]:
    if (folder / "Chart.yaml").is_file():
        yield from _chart(folder, helm)
        return
    if any((folder / name).is_file() for name in KUSTOMIZATION):
        yield from _kustomize(folder)
        return
    files = [path for path in _walk(folder) if path.suffix.lower() in SUFFIXES]
    if not files:
        raise InvalidScenario("no .yaml, .yml or .json file in this folder", location=Location(str(folder)))
    for path in files:
        special = path.exists() and not path.is_file()
        yield Text(path.as_posix(), b"", NO_FILE) if special else _read(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files below a folder in a fixed order; hidden folders and packaged charts inside are left out."""
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name != "kchaos.yaml":
                yield Path(base) / name


def _run(command: Sequence[str], what: str) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=RENDER_TIMEOUT_S, check=False)
    except OSError as error:
        raise InvalidScenario(f"{what} can't be started: {error.strerror}", hint=f"the command was: {' '.join(command)}") from error
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"{what} took longer than {RENDER_TIMEOUT_S} s: {' '.join(command)}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        raise InvalidScenario(f"{what} failed: {said}", hint=f"the command was: {' '.join(command)}")
    return done.stdout


def _chart(folder: Path, helm: HelmOptions) -> Iterator[Text]:
    if shutil.which("helm") is None:
        raise InvalidScenario(
            "this folder is a Helm chart, and helm is not installed", location=Location(str(folder)),
            hint="install helm, or render it elsewhere and give the output: helm template NAME CHART > all.yaml",
        )  # fmt: skip
    command = ["helm", "template", helm.release, str(folder), "--namespace", helm.namespace, "--kube-version", f"{helm.kubernetes}.0"]
    for value in helm.values:
        command += ["--values", value]
    for one in helm.sets:
        command += ["--set", one]
    yield from split_sources(_run(command, "helm template"), folder)


def _kustomize(folder: Path) -> Iterator[Text]:
    for tool in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(tool[0]) is not None:
            yield Text(folder.as_posix(), _run([*tool, str(folder)], " ".join(tool)))
            return
    raise InvalidScenario(
        "this folder is a kustomization, and neither kubectl nor kustomize is installed", location=Location(str(folder)),
        hint="install kubectl, or render it elsewhere and give the output: kubectl kustomize FOLDER > all.yaml",
    )  # fmt: skip


def split_sources(rendered: bytes, folder: Path) -> Iterable[Text]:
    """Split `helm template` output at its ``# Source:`` comments, so that findings name the template's file."""
    blocks: list[tuple[str, list[bytes]]] = [(folder.as_posix(), [])]
    for row in rendered.splitlines(keepends=True):
        if row.startswith(b"# Source: "):
            source = row[len(b"# Source: ") :].strip().decode("utf-8", "replace")
            inner = source.split("/", 1)[-1]
            blocks.append(((folder / inner).as_posix(), [b"---\n"]))
        else:
            blocks[-1][1].append(row)
    merged: dict[str, list[bytes]] = {}
    for name, rows in blocks:
        merged.setdefault(name, []).extend(rows)
    return [Text(f"{name} (rendered)", b"".join(rows)) for name, rows in merged.items() if b"".join(rows).strip(b"-\n \t")]
