"""From ``@chaos`` to its answer: the question is made of the mark, the options and the files; what fails is kept in the user's repository."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.corpus import Kept
from kchaos.engine.corpus import read as read_corpus
from kchaos.engine.execute import Answer, NothingToRun, Question, execute, prepare
from kchaos.engine.inputs import HelmOptions, check_chart_options, check_namespace
from kchaos.engine.kubernetes import run
from kchaos.engine.machines import Machines, of_file, of_numbers
from kchaos.engine.result import Result
from kchaos.engine.saved import Saved, test_name_of, write
from kchaos.errors import InvalidScenario
from kchaos.history.record import Run
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import DEFAULT
from kchaos.properties.catalog import CATALOG
from kchaos.scenario import Scenario
from kchaos.scenario import load as load_scenario
from kchaos.testing.files import Files, shown, stem_of
from kchaos.testing.marks import Asked
from kchaos.testing.options import Options
from kchaos.testing.run import ChaosRun, Shown

KEPT = 3
"""Failures of one campaign that are written to the corpus."""


class Place(NamedTuple):
    """Whose question it is: the name that people know it by (a node id of pytest), and where files are looked for."""

    name: str
    folder: Path
    root: Path


def ask(asked: Asked, options: Options, place: Place) -> ChaosRun:
    """Run the campaign. Raises InvalidScenario for what the author of the test must mend."""
    if asked.wrong:
        raise InvalidScenario(asked.wrong)
    folder = options.corpus / stem_of(place.name)
    kept, problems = _kept(folder, options)
    files = Files(place.folder, place.root)
    question, config = _question(asked, options, place, files, kept)
    began = time.monotonic()
    try:
        answer = execute(question)
    except NothingToRun as error:
        told = [f"{note.file}:{note.line}: {note.message}" for note in error.notes]
        raise InvalidScenario("; ".join([error.message, *told]), hint=error.hint) from error
    if answer.result.examples.interrupted:
        raise KeyboardInterrupt
    result = msgspec.structs.replace(answer.result, duration_s=round(time.monotonic() - began, 3))
    for file, why in result.corpus.get("why", {}).items():
        if options.replay is not None:
            raise InvalidScenario(f"{file} makes no sense here: {why}", hint="its steps name what the manifests do not have any more")
        problems.append(f"not tried again: {file}: {why}")
    manifests = () if asked.values or asked.sets else _paths(files, asked)
    claims = {one.id: one.claim for one in CATALOG.values()} | {one.id: one.claim for one in result.properties}
    case = partial(_case, place=place, manifests=manifests, config=config, asked=asked, claims=claims)
    saved, more = _save(answer, result, folder, case)
    where = {one.fingerprint: one.scenario for one in saved}
    findings = tuple(msgspec.structs.replace(one, replay=where.get(one.fingerprint, "")) for one in result.findings)
    result = msgspec.structs.replace(result, findings=findings)
    return ChaosRun(result, answer.replays, partial(_healthy, question), tuple(saved), (*problems, *more))


def _kept(folder: Path, options: Options) -> tuple[list[Kept], list[str]]:
    if options.replay is None:
        found, problems = read_corpus(folder)
        return [one._replace(file=shown(Path(one.file))) for one in found], problems
    named = re.search(r"-([0-9a-f]{8})\.scenario\.json$", options.replay.name)
    return [Kept(shown(options.replay), named[1] if named else "", load_scenario(options.replay))], []


def _question(asked: Asked, options: Options, place: Place, files: Files, kept: list[Kept]) -> tuple[Question, Path | None]:
    check_namespace(asked.namespace)
    for_charts = [name for name in ("values", "sets") if getattr(asked, name)]
    check_chart_options(for_charts, (files.find(one) for one in (*asked.manifests, *asked.context) if "\n" not in one))
    settings, config = files.settings(asked.config, asked.manifests)
    version = settings.kubernetes or DEFAULT
    helm = HelmOptions(
        values=tuple(str(files.find(one)) for one in asked.values), sets=asked.sets, namespace=asked.namespace, kubernetes=version
    )
    if asked.fail_on not in list(Severity):
        raise InvalidScenario(f"fail_on is {asked.fail_on!r}", hint=f"write {', '.join(Severity)}")
    given = of_file(files.find(asked.topology)) if asked.topology else None
    budget = BudgetOption.of(options.budget) if options.budget is not None else BudgetOption(asked.examples)
    question = Question(
        texts=files.texts(asked.manifests, helm), context=files.texts(asked.context, helm, "context"), settings=settings, faults=asked.faults,
        machines=partial(_machines, asked, given),
        budget=budget._replace(level1=True), seed=asked.seed if options.seed is None else options.seed, fail_on=Severity(asked.fail_on),
        kubernetes=version, namespace=asked.namespace, command=f"python -m pytest '{place.name}'", corpus=kept,
        properties=asked.properties, only_corpus=options.replay is not None, smaller=False,
    )  # fmt: skip
    return question, config


def _machines(asked: Asked, given: Machines | None, objects: Sequence[Obj]) -> Machines:
    """Return the machines of a topology file, or those for the numbers; how to change them on a command line has no place here."""
    if given is not None:
        return given
    found = of_numbers(asked.nodes, asked.zones, objects)
    return found._replace(words=found.words.replace(" (--nodes, --zones or --topology change it)", ""))


def _paths(files: Files, asked: Asked) -> tuple[str, ...]:
    """Return the manifests as paths that a pytest file can name; none if one of them is YAML text."""
    if any("\n" in one for one in asked.manifests):
        return ()
    return tuple(str(files.find(one)) for one in asked.manifests)


def _case(
    scenario: Scenario,
    finding: Finding,
    *,
    place: Place,
    manifests: tuple[str, ...],
    config: Path | None,
    asked: Asked,
    claims: dict[str, str],
) -> Saved:
    title = f"{place.name}: {finding.id} {finding.property}: {finding.summary}"
    problem = f"{finding.id}-{finding.fingerprint[:8]}"
    return Saved(
        who=place.name, scenario=msgspec.structs.replace(scenario, name=title[:300]), prop=f"{finding.id} {finding.property}",
        claim=claims[finding.id], summary=finding.summary, scenario_file=f"{problem}.scenario.json",
        test_file=test_name_of(stem_of(place.name), problem), manifests=manifests, config=config, fail_on=Severity(asked.fail_on),
        namespace=asked.namespace,
    )  # fmt: skip


def _save(answer: Answer, result: Result, folder: Path, case: partial[Saved]) -> tuple[list[Shown], list[str]]:
    """Write the worst failures to the corpus, as the application is now; return where each of them is, and what went wrong."""
    bar = Severity(result.fail_on).rank
    out: list[Shown] = []
    problems: dict[str, None] = {}
    for finding in result.findings:
        replay = answer.replays.get(finding.fingerprint)
        if replay is None or finding.severity.rank > bar or finding.accepted or len(out) >= KEPT:
            continue
        saved: Saved = case(replay.scenario, finding)
        places, more = write(saved, folder)
        problems |= dict.fromkeys(more)
        if places:
            out.append(Shown(finding.fingerprint, shown(places[0]), shown(places[1])))
    return out, list(problems)


def _healthy(question: Question) -> Run:
    """Return a run in which nothing is done to the application."""
    prepared = prepare(question)
    return run(prepared.system, prepared.booted, Scenario(seed=question.seed)).run


def owners(scenario: Path, names: Sequence[str]) -> Sequence[str]:
    """Return the campaigns, of some names, that a saved scenario belongs to: the one that found it; all, if none is named in it."""
    said = load_scenario(scenario).name
    mine = [name for name in names if said.startswith(f"{name}: ")]
    return mine or (() if "::" in said.partition(": ")[0] else names)
