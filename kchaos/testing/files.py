"""The files that a test names: from its own folder on, else from pytest's rootdir; what is nowhere is told with both places."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kchaos.check.verdict import fingerprint
from kchaos.engine.inputs import HelmOptions, read_paths
from kchaos.engine.settings import FILE, Settings, load_settings
from kchaos.errors import InvalidScenario
from kchaos.models.manifests.load import Text

LONGEST = 60
"""Letters of a folder's or file's name that a test's name is made into."""


class Files:
    """Where a test's paths begin."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._bases = tuple(dict.fromkeys((folder, root)))

    def find(self, name: str) -> Path:
        """Return the path of a file, folder or glob. Raises InvalidScenario if nothing is there."""
        if not name.strip():
            raise InvalidScenario("an empty path", hint="write . for the test's own folder")
        places = [base / name for base in self._bases]
        for place in dict.fromkeys(places):
            if place.exists() or (any(char in name for char in "*?[") and any(_matches(place))):
                return place
        what = "no file matches" if any(char in name for char in "*?[") else "no such file or folder:"
        where = " nor in ".join(shown(base) for base in self._bases)
        near = next((hint for place in places if (hint := _near(place))), "paths begin at the test's own file, or at rootdir")
        raise InvalidScenario(f"{what} {name} in {where}", hint=near)

    def texts(self, manifests: Iterable[str], helm: HelmOptions | None = None, name: str = "manifests") -> list[Text]:
        """Return the texts behind paths, globs, folders and charts, and YAML texts themselves, which have more than one line."""
        out: dict[str, Text] = {}
        for index, one in enumerate(manifests):
            found = [Text(f"{name}[{index}]", one.encode("utf-8"))] if "\n" in one else read_paths([shown(self.find(one))], helm)
            out |= {text.name: text for text in found}
        return list(out.values())

    def settings(self, config: str, manifests: Sequence[str]) -> tuple[Settings, Path | None]:
        """Return the kchaos.yaml that is named, else the one beside the manifests, the test, or in rootdir; and its path."""
        if config:
            path = self.find(config)
            return load_settings(Path(shown(path))), path
        for folder in (*self._beside(manifests), *self._bases):
            if (folder / FILE).is_file():
                return load_settings(Path(shown(folder / FILE))), folder / FILE
        return Settings(), None

    def _beside(self, manifests: Sequence[str]) -> Iterator[Path]:
        for one in manifests:
            if "\n" not in one:
                place = self.find(one)
                yield place if place.is_dir() else place.parent


def _matches(place: Path) -> Iterator[str]:
    import glob

    return glob.iglob(str(place), recursive=True)  # noqa: PTH207  (patterns may be absolute)


def shown(path: Path) -> str:
    """Return a path as people at the current folder would write it."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # another drive
        return str(path)


def _near(place: Path) -> str:
    import difflib

    if not place.parent.is_dir():
        return ""
    near = difflib.get_close_matches(place.name, sorted(one.name for one in place.parent.iterdir()), n=1)
    return f"did you mean {shown(place.parent / near[0])}?" if near else ""


def stem_of(name: str) -> str:
    """Return a test's name as the name of a file or folder."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", name.replace(".py::", "::")).strip("-.")
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}-{fingerprint(name, '')[:8]}"
