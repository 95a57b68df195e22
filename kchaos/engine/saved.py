"""Saved failures: a scenario that anybody can replay, and a pytest file that fails as long as the problem is there."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from kchaos import __version__
from kchaos.check.property import Severity
from kchaos.check.verdict import fingerprint
from kchaos.engine.booting import boot
from kchaos.engine.cases import call_of
from kchaos.engine.kubernetes import Look, run
from kchaos.engine.output import harmless, write_all
from kchaos.engine.scenarios import checked, load_system
from kchaos.engine.settings import Accept, Settings, load_settings
from kchaos.engine.story import story
from kchaos.engine.subject import Subject, Unanswered, accepted_by, subject_of, texts_of
from kchaos.engine.system import PROPERTIES, inputs_of
from kchaos.errors import InvalidScenario, Location
from kchaos.models.manifests.load import load
from kchaos.properties.own.declared import Declared
from kchaos.scenario import Scenario
from kchaos.scenario import load as load_scenario


class Saved(NamedTuple):
    """One failure, to be written as a scenario and as a pytest file."""

    who: str
    """Whose it is: a class of machines, or a test."""
    scenario: Scenario
    prop: str
    claim: str
    summary: str
    scenario_file: str
    test_file: str
    """Empty: no pytest file can show it."""
    manifests: tuple[str, ...] = ()
    """Paths and globs, absolute; none: the objects that the scenario holds are as good."""
    config: Path | None = None
    fail_on: Severity = Severity.ERROR
    namespace: str = "default"
    judge: tuple[Path, str] | None = None
    """File and class that know the claim, if it is its author's own."""


def mark_of(ident: str, root: str) -> str:
    """Return what stands for a problem in the names of its files: the begin of its fingerprint."""
    return fingerprint(ident, root)[:8]


def test_name_of(who: str, problem: str) -> str:
    """Return the name of a pytest file: one of its own among all folders, as pytest wants it."""
    words = re.sub(r"\W+", "_", f"{who}_{problem}").strip("_")
    return f"test_{words.removeprefix('test_')}.py"


def write(case: Saved, folder: Path) -> tuple[list[Path], list[str]]:
    """Write a case's files, to a temporary folder if need be; return where they are and what went wrong, in words."""
    names = [case.scenario_file, case.test_file] if case.test_file else [case.scenario_file]
    where, problems = write_all(folder, lambda place: {
        name: case.scenario.save if name == case.scenario_file else _text_writer(pytest_file(case, place)) for name in names
    }, keep=True)  # fmt: skip
    return ([where / name for name in names] if where is not None else []), problems


def _text_writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


_TEST = '''"""{title}

{steps}

Found by kchaos {version}. It fails as long as the problem is there{on}.
"""

from pathlib import Path

from kchaos import replay

HERE = Path(__file__).parent


def {name}() -> None:
    """{claim}"""
    found = replay(HERE / "{scenario}"{options})
    assert not found.violations, str(found)


# {command}
'''


def pytest_file(case: Saved, folder: Path) -> str:
    """Return a pytest file that runs a saved scenario in the same folder and asserts that nothing is violated."""
    options = ""
    if case.judge is not None:
        options += f', machine=HERE / "{_relative(case.judge[0], folder)}::{case.judge[1]}"'
    else:
        paths = [_relative(Path(one), folder) for one in case.manifests]
        options += f", manifests=[{', '.join(f'HERE / {json.dumps(path)}' for path in paths)}]" if paths else ""
        options += f', config=HERE / "{_relative(case.config, folder)}"' if case.config is not None else ""
        options += f', fail_on="{case.fail_on.value}"' if case.fail_on is not Severity.ERROR else ""
        options += f', namespace="{case.namespace}"' if case.namespace != "default" and paths else ""
    steps = "\n".join(call_of(step) for step in case.scenario.steps) or "Nothing is done to it."
    place = _relative(folder, Path.cwd())
    return _TEST.format(
        title=_quotable(f"{case.who}: {case.prop}: {case.summary}"), steps=_quotable(steps), version=__version__,
        on="" if case.judge is not None or case.manifests else " in the manifests that the scenario holds",
        name=case.test_file.removesuffix(".py"), claim=_quotable(case.claim), scenario=case.scenario_file, options=options,
        command=f"python -m pytest {place}/{case.test_file}" if case.judge is not None else f"kchaos replay {place}/{case.scenario_file}",
    )  # fmt: skip


def _quotable(text: str) -> str:
    """Return text that can stand in a docstring."""
    return harmless(text).replace("\\", "\\\\").replace('"""', "'''")


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


class Replayed(NamedTuple):
    """What a saved scenario came to: violations in words, the story, the digest of the run."""

    violations: tuple[str, ...]
    story: tuple[str, ...]
    digest: str

    def __str__(self) -> str:
        return "\n".join([*self.violations, "", *self.story])


def replay(
    scenario: Path | str, *, manifests: Sequence[Path | str] = (), machine: Path | str = "", config: Path | str = "", fail_on: str = "error",
    namespace: str = "default",
) -> Replayed:  # fmt: skip
    """Run a saved scenario, on the application as it is now if that is named.

    ``manifests``: paths and globs of its objects; ``machine``: instead ``path/test_shop.py::Shop``, whose manifests, claims and settings
    count; neither: the objects that the scenario holds. ``config``: a kchaos.yaml. ``fail_on``: from which severity on a violation
    counts. ``namespace``: of manifests that name none. Raises InvalidScenario for what can't run.
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
            found = _with(found, [str(one) for one in manifests], settings, bool(config), namespace)
            system = checked(found)
        else:
            found, system = load_system(path)
        booted = boot(system, found.seed)
    try:
        outcome = run(system, booted, found, look=look)
    except Unanswered as error:
        hint = "let the claim look only at self.cluster, or delete the file"
        raise InvalidScenario(str(error), location=Location(str(path)), hint=hint) from None
    bad = [(p, v) for p, v in outcome.violations if v.severity.rank <= least.rank and not accepted_by(accepts, p.id, v)]
    bad.sort(key=lambda pair: (pair[1].severity.rank, pair[1].t))
    words = tuple(f"{p.id} {v.object}: {v.summary}" if v.object != p.id else f"{p.id}: {v.summary}" for p, v in bad)
    return Replayed(words, tuple(story(outcome.run, bad[0][1].object if bad else "")), outcome.run.digest)


def _with(scenario: Scenario, manifests: Sequence[str], settings: Settings, configured: bool, namespace: str) -> Scenario:
    """Return a scenario with objects, and assumptions if there are any, as they are in files now."""
    inputs = dict(scenario.inputs)
    if manifests:
        loaded = load(texts_of(manifests, Path.cwd(), "manifests"), namespace)
        for note in loaded.notes:
            if note.level == "error":
                raise InvalidScenario(note.message, location=Location(note.file, note.line), hint=note.hint)
        inputs["objects"] = [one.obj for one in loaded.manifests]
    if configured:
        inputs["assumptions"] = inputs_of([], [], settings, "")["assumptions"]
        declared = {one.id: one for one in msgspec.convert(inputs.get(PROPERTIES, []), list[Declared])}
        declared |= {one.id: one for one in settings.declared()}
        inputs[PROPERTIES] = msgspec.to_builtins(list(declared.values()))
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
    return subject, subject.look(found.__new__(found), whole=False)
