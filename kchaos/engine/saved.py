"""Saved failures: a scenario that anybody can replay, and a pytest file that fails as long as the problem is there."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kchaos import __version__
from kchaos.check.property import Property, Severity, Violation
from kchaos.check.verdict import fingerprint
from kchaos.engine.booting import boot
from kchaos.engine.cases import call_of
from kchaos.engine.kubernetes import Look, run
from kchaos.engine.output import harmless, write_all
from kchaos.engine.scenarios import checked, load_system
from kchaos.engine.settings import Accept, Settings, load_settings
from kchaos.engine.story import story
from kchaos.engine.subject import Subject, accepted_by, subject_of, texts_of
from kchaos.engine.system import inputs_of
from kchaos.errors import InvalidScenario, Location
from kchaos.models.manifests.load import load
from kchaos.scenario import Scenario
from kchaos.scenario import load as load_scenario

if TYPE_CHECKING:
    from kchaos.engine.machine import ClusterMachine


class Saved(NamedTuple):
    """One failure of a machine. ``own``: what is broken is a claim of its author, which only the class can judge."""

    subject: Subject
    machine: type[ClusterMachine]
    scenario: Scenario
    prop: Property
    violation: Violation
    own: bool

    @property
    def stem(self) -> str:
        """Return the name of its files, the same for the same problem each time."""
        mark = fingerprint(self.prop.id, self.violation.root or self.violation.object)[:8]
        return f"{stem_of(self.subject.name)}-{self.prop.name}-{mark}"


def stem_of(name: str) -> str:
    """Return a class name as the begin of a file name: ``WebShop`` is ``web-shop``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()


def write(case: Saved, folder: Path) -> tuple[list[Path], list[str]]:
    """Write a case's files, to a temporary folder if need be; return where they are and what went wrong, in words."""
    scenario, test = f"{case.stem}.scenario.json", f"test_{case.stem.replace('-', '_')}.py"
    problems: list[str] = []
    names = [scenario]
    if case.own and not _importable(case.machine):
        problems.append(f"no pytest file: class {case.machine.__qualname__} is not at the top of a file, so that file can't import it")
    else:
        names.append(test)
    where, more = write_all(folder, lambda place: {
        name: case.scenario.save if name == scenario else _text_writer(pytest_file(case, place / scenario)) for name in names
    })  # fmt: skip
    return ([where / name for name in names] if where is not None else []), [*problems, *more]


def _text_writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _importable(machine: type) -> bool:
    file = getattr(sys.modules.get(machine.__module__), "__file__", None)
    return file is not None and "." not in machine.__qualname__


_TEST = '''"""{title}

{steps}

Found by kchaos {version}. It fails as long as the problem is there{on}.
"""

from pathlib import Path

from kchaos import replay

HERE = Path(__file__).parent


def test_{name}() -> None:
    """{claim}"""
    found = replay(HERE / "{scenario}"{options})
    assert not found.violations, str(found)


# {command}
'''


def pytest_file(case: Saved, scenario: Path) -> str:
    """Return a pytest file that runs a saved scenario and asserts that nothing is violated."""
    here = scenario.parent
    options = ""
    if case.own:
        file = sys.modules[case.machine.__module__].__file__
        assert file is not None
        options += f', machine=HERE / "{_relative(Path(file), here)}::{case.machine.__qualname__}"'
    else:
        paths = _paths(case, here)
        options += f", manifests=[{', '.join(f'HERE / {json.dumps(path)}' for path in paths)}]" if paths else ""
        options += f', config=HERE / "{_relative(case.subject.folder / case.machine.config, here)}"' if case.machine.config else ""
        options += f', fail_on="{case.subject.fail_on.value}"' if case.subject.fail_on is not Severity.ERROR else ""
    steps = "\n".join(call_of(step) for step in case.scenario.steps) or "Nothing is done to it."
    place = _relative(scenario, Path.cwd())
    command = (
        f"python -m pytest {Path(place).parent.as_posix()}/test_{case.stem.replace('-', '_')}.py" if case.own else f"kchaos replay {place}"
    )
    return _TEST.format(
        title=_quotable(f"{case.subject.name}: {case.prop.name}: {case.violation.summary}"), steps=_quotable(steps), version=__version__,
        on="" if case.own or "manifests=" in options else " in the manifests that the scenario holds",
        name=re.sub(r"\W", "_", case.stem), claim=_quotable(case.prop.claim), scenario=scenario.name, options=options, command=command,
    )  # fmt: skip


def _quotable(text: str) -> str:
    """Return text that can stand in a docstring."""
    return harmless(text).replace("\\", "\\\\").replace('"""', "'''")


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _paths(case: Saved, here: Path) -> list[str]:
    """Return a machine's manifests as paths from a folder; none if any of them is YAML text: then the scenario's own are as good."""
    manifests = [case.machine.manifests] if isinstance(case.machine.manifests, str) else case.machine.manifests
    if any("\n" in one for one in manifests):
        return []
    return [_relative(case.subject.folder, here) + f"/{one}" if not Path(one).is_absolute() else one for one in manifests]


class Replayed(NamedTuple):
    """What a saved scenario came to: violations in words, the story, the digest of the run."""

    violations: tuple[str, ...]
    story: tuple[str, ...]
    digest: str

    def __str__(self) -> str:
        return "\n".join([*self.violations, "", *self.story])


def replay(
    scenario: Path | str, *, manifests: Sequence[Path | str] = (), machine: Path | str = "", config: Path | str = "", fail_on: str = "error"
) -> Replayed:
    """Run a saved scenario, on the application as it is now if that is named.

    ``manifests``: paths and globs of its objects; ``machine``: instead ``path/test_shop.py::Shop``, whose manifests, claims and settings
    count; neither: the objects that the scenario holds. ``config``: a kchaos.yaml. ``fail_on``: from which severity on a violation
    counts. Raises InvalidScenario for what can't run.
    """
    path = Path(scenario)
    accepts: Sequence[Accept] = ()
    least, look = Severity(fail_on), None
    if machine:
        subject, look = _machine(str(machine))
        found = msgspec.structs.replace(load_scenario(path), topology=subject.scenario.topology, inputs=subject.scenario.inputs)
        system, booted, accepts, least = checked(found), subject.booted, subject.accepts, subject.fail_on
    else:
        found = load_scenario(path)
        if manifests or config:
            settings = load_settings(Path(config)) if config else Settings()
            accepts = settings.accept
            found = _with(found, [str(one) for one in manifests], settings, bool(config))
            system = checked(found)
        else:
            found, system = load_system(path)
        booted = boot(system, found.seed)
    outcome = run(system, booted, found, look=look)
    bad = [(p, v) for p, v in outcome.violations if v.severity.rank <= least.rank and not accepted_by(accepts, p.id, v)]
    bad.sort(key=lambda pair: (pair[1].severity.rank, pair[1].t))
    words = tuple(f"{p.id} {v.object}: {v.summary}" if v.object != p.id else f"{p.id}: {v.summary}" for p, v in bad)
    return Replayed(words, tuple(story(outcome.run, bad[0][1].object if bad else "")), outcome.run.digest)


def _with(scenario: Scenario, manifests: Sequence[str], settings: Settings, configured: bool) -> Scenario:
    """Return a scenario with objects, and assumptions if there are any, as they are in files now."""
    inputs = dict(scenario.inputs)
    if manifests:
        loaded = load(texts_of(manifests, Path.cwd(), "manifests"))
        for note in loaded.notes:
            if note.level == "error":
                raise InvalidScenario(note.message, location=Location(note.file, note.line), hint=note.hint)
        inputs["objects"] = [one.obj for one in loaded.manifests]
    if configured:
        inputs["assumptions"] = inputs_of([], [], settings, "")["assumptions"]
    return msgspec.structs.replace(scenario, inputs=inputs)


def _machine(place: str) -> tuple[Subject, Look | None]:
    """Return the subject of ``path/test_shop.py::Shop``, and what asks its claims."""
    file, _, name = place.partition("::")
    path = Path(file).resolve()
    hint = "write path/to/test_shop.py::Shop"
    if not path.is_file() or not name:
        raise InvalidScenario("no such file" if name else "no class is named", location=Location(place), hint=hint)
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    loaded = next((one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == str(path)), None)
    if loaded is None:
        sys.path.insert(0, str(root))
        try:
            loaded = importlib.import_module(".".join(parts))
        finally:
            sys.path.remove(str(root))
    found = getattr(loaded, name, None)
    if found is None or not hasattr(found, "manifests"):
        raise InvalidScenario(f"no ClusterMachine {name}", location=Location(str(path)), hint=hint)
    subject = subject_of(found)
    return subject, subject.look(found.__new__(found))
