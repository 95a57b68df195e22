"""What a ClusterMachine class is about, made once per class: its manifests read and booted, what may be done, what its author claims."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kchaos.check.property import BaseMonitor, Guarantee, Property, Severity, Violation
from kchaos.check.verdict import fingerprint
from kchaos.engine.booting import Boot, System
from kchaos.engine.decorators import MARK
from kchaos.engine.execute import Question, prepare
from kchaos.engine.findings import accepted
from kchaos.engine.inputs import read_paths
from kchaos.engine.kubernetes import Look
from kchaos.engine.machines import Machines, of_file, of_numbers
from kchaos.engine.seen import Seen
from kchaos.engine.settings import Accept, Settings, load_settings
from kchaos.engine.sweep import SCALED, choose, sweep
from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import DEFAULT
from kchaos.models.cluster import Cluster
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.objects import KLASS
from kchaos.models.manifests.load import Text
from kchaos.properties.own.declared import undecided
from kchaos.scenario import Scenario, Step

if TYPE_CHECKING:
    from kchaos.engine.machine import ClusterMachine

OWN_RULES = ("pod-kill",)
"""What has a rule of its own, with a bundle of its targets, and would only be done twice as often."""


class Claim(NamedTuple):
    """One claim of a test's author: a method of the machine, as a property."""

    function: Callable[[Any], None]
    property: Property
    at_end_only: bool

    def judge(self, machine: Any, now_s: float) -> Iterable[Violation]:
        """Ask it; any failure but a failed assertion is an error of the test and is raised."""
        try:
            self.function(machine)
        except AssertionError as error:
            yield Violation(t=now_s, object=self.property.id, summary=_words(error), root=self.property.id)


def _words(error: AssertionError) -> str:
    """Return what an assertion says: its message, else the line of code that failed."""
    said = str(error).strip().partition("\n")[0]
    if said:
        return said
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    code = frames[-1].code_context if frames else None
    return code[0].strip() if code else "does not hold"


class Unanswered(Exception):
    """A claim can't be judged from a scenario alone: it raised something else than AssertionError."""

    def __init__(self, claim: Claim, error: Exception) -> None:
        frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
        where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        super().__init__(f"{claim.property.source} can't be judged{where}: {type(error).__name__}: {error}")


class Subject(NamedTuple):
    """A class of machines, ready to run."""

    name: str
    folder: Path
    """Where its paths begin: the folder of the file it is written in."""
    system: System
    booted: Boot
    scenario: Scenario
    """Without steps; with the inputs, so that it can be saved."""
    faults: tuple[str, ...]
    menu: tuple[Step, ...]
    """What may be injected, except for what has a rule of its own."""
    scaled: tuple[str, ...]
    """Workloads that have a number of replicas."""
    objects: tuple[Obj, ...]
    claims: tuple[Claim, ...]
    accepts: tuple[Accept, ...]
    fail_on: Severity

    def look(self, machine: Any, whole: bool = True) -> Look | None:
        """Return what asks the author's claims of ``machine``; None if there are none.

        ``whole``: False for a machine that no rule has been applied to: what a claim raises beside AssertionError is then Unanswered.
        """
        if not self.claims:
            return None

        def ask(cluster: Cluster, at_end: bool) -> Iterable[tuple[Property, Violation]]:
            machine.cluster = Seen(cluster)
            for claim in self.claims:
                if at_end or not claim.at_end_only:
                    try:
                        yield from [(claim.property, found) for found in claim.judge(machine, cluster.world.loop.time())]
                    except InvalidScenario:
                        raise
                    except Exception as error:
                        if whole:
                            raise
                        raise Unanswered(claim, error) from None

        return ask

    def counts(self, prop: Property, violation: Violation) -> bool:
        """Tell whether a violation fails the test: as severe as asked for, or undecided, and not accepted in kchaos.yaml."""
        if violation.severity.rank > self.fail_on.rank and not undecided(violation):
            return False
        return not accepted_by(self.accepts, prop.id, violation)


def accepted_by(accepts: Sequence[Accept], ident: str, violation: Violation) -> bool:
    """Tell whether kchaos.yaml accepts a violation."""
    return bool(accepted(accepts, ident, fingerprint(ident, violation.root or violation.object), (violation.object,)))


def _severity(name: str) -> Severity:
    if name not in list(Severity):
        raise InvalidScenario(f"fail_on: no such severity: {name!r}", hint=f"write {', '.join(Severity)}")
    return Severity(name)


def subject_of(machine: type[ClusterMachine]) -> Subject:
    """Return the subject of a class; it is made once. Raises InvalidScenario for what its author must mend."""
    found: Subject | None = machine.__dict__.get("_kchaos_subject")
    if found is None:
        found = _made(machine)
        machine._kchaos_subject = found
    return found


def folder_of(machine: type) -> Path:
    """Return the folder of the file that a class is written in, else the current one."""
    file = getattr(sys.modules.get(machine.__module__), "__file__", None)
    return Path(file).resolve().parent if file else Path.cwd()


def _made(machine: type[ClusterMachine]) -> Subject:
    name, folder = machine.__name__, folder_of(machine)
    where = Location(f"class {name}")
    if not machine.manifests:
        raise InvalidScenario("no manifests", location=where, hint='write manifests = ("shop/*.yaml",), or YAML text')
    settings = load_settings(folder / machine.config) if machine.config else Settings()
    prepared = prepare(Question(
        texts=texts_of(machine.manifests, folder, f"{name}.manifests"), context=texts_of(machine.context, folder, f"{name}.context"),
        machines=_machines(machine, folder), settings=settings, seed=machine.seed or 0, kubernetes=settings.kubernetes or DEFAULT,
    ))  # fmt: skip
    for note in prepared.loaded.notes:
        if note.level == "error":
            raise InvalidScenario(note.message, location=Location(note.file, note.line), hint=note.hint)
    for refusal in prepared.booted.refused:
        meta = refusal.obj["metadata"]
        raise InvalidScenario(f"the API server refuses {refusal.obj['kind']} {meta.get('name', '')}: {refusal.message}", location=where)
    names = _names(machine.faults)
    system, booted = prepared.system, prepared.booted
    single = sweep(system, booted, [one for one in names if catalog().get(one).klass != KLASS and one not in OWN_RULES]).level1
    kinds = {workload: workload.partition("/")[0] for workload in booted.workloads}
    return Subject(
        name=name, folder=folder, system=system, booted=booted,
        scenario=Scenario(seed=machine.seed or 0, topology=msgspec.to_builtins(system.topology), inputs=dict(system.inputs)),
        faults=tuple(names), menu=tuple(steps[0] for steps in single if steps),
        scaled=tuple(one for one, kind in kinds.items() if kind in SCALED), objects=tuple(system.objects),
        claims=tuple(_claims(machine)), accepts=settings.accept, fail_on=_severity(machine.fail_on),
    )  # fmt: skip


def texts_of(manifests: Sequence[str] | str, folder: Path, name: str) -> list[Text]:
    """Return texts for paths (from ``folder`` on; globs too) and for YAML itself, which has more than one line."""
    out: list[Text] = []
    for index, one in enumerate([manifests] if isinstance(manifests, str) else manifests):
        if "\n" in one:
            out.append(Text(f"{name}[{index}]", one.encode("utf-8")))
        else:
            path = folder / one
            out += read_paths([os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)])
    return out


def _machines(machine: type[ClusterMachine], folder: Path) -> Callable[[Sequence[Obj]], Machines]:
    topology = machine.topology
    if isinstance(topology, str):
        found = of_file(folder / topology)
        return lambda objects: found
    nodes, zones = topology if topology is not None else (None, None)
    return lambda objects: of_numbers(nodes, zones, objects)


def _names(faults: Sequence[str] | None) -> list[str]:
    """Return the faults that a class names, groups taken apart; those of level 1 if it names none."""
    kinds = catalog()
    if faults is None:
        return choose(None, kinds)
    out: dict[str, None] = {}
    for one in [faults] if isinstance(faults, str) else faults:
        if one in kinds and kinds.get(one).klass == KLASS:
            out[one] = None
        else:
            out |= dict.fromkeys(choose(one, kinds))
    return list(out)


def _claims(machine: type[ClusterMachine]) -> Iterable[Claim]:
    for name, function in inspect.getmembers(machine, inspect.isfunction):
        when = getattr(function, MARK, "")
        if when:
            told = (inspect.getdoc(function) or name.replace("_", " ")).partition("\n")[0]
            prop = Property(
                id=name, name=name.replace("_", "-"), claim=told, source=f"{machine.__name__}.{name}", guarantee=Guarantee.ALWAYS,
                liveness=when == "eventually", monitor=BaseMonitor,
            )  # fmt: skip
            yield Claim(function, prop, when == "eventually")
