"""`kchaos shrink`: the smallest scenario that fails as a saved one does."""

from __future__ import annotations

from pathlib import Path

import click

from kchaos.engine.inputs import only_files
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.output import harmless, whole
from kchaos.engine.smaller import Systems, Wanted, shrink_scenario
from kchaos.engine.story import story
from kchaos.errors import ExitCode, HarnessError, InvalidScenario, Location
from kchaos.scenario import Scenario, load

SUFFIX = ".scenario.json"


def shrink(file: Path, target: Path | None, tries: int, rule: str | None) -> int:
    """Do it; exit 1, as what is written fails. Raises InvalidScenario for a scenario that violates nothing (of that rule)."""
    only_files(file)
    systems = Systems()
    scenario = load(file)
    try:
        system, booted = systems.of(scenario)
    except InvalidScenario as error:
        raise InvalidScenario(error.message, location=Location(str(file)), hint=error.hint) from error
    where = target or file.with_name(file.name.removesuffix(SUFFIX) + ".small" + SUFFIX)
    if where.is_dir() or not where.parent.is_dir():
        what = "a folder" if where.is_dir() else "in no folder that exists"
        raise InvalidScenario(f"{where} is {what}", hint="give the name of a file to write")
    wanted = _wanted(file, run(system, booted, scenario), rule)
    found = shrink_scenario(scenario, wanted, systems, tries=tries)
    again = run(*systems.of(found.scenario), found.scenario)
    try:
        whole(where, found.scenario.save)
    except OSError as error:
        raise HarnessError(f"can't write {where}: {error.strerror}") from error
    for sentence in story(again.run, wanted.object):
        click.echo(harmless(sentence))
    violation = wanted.best(again.violations)
    assert violation is not None, "the shrinker returned what does not fail"
    click.echo(harmless(f"\n{violation.severity.value} {wanted.id} {violation.object}: {violation.summary}"))
    click.echo(
        harmless(f"{_sizes(scenario, found.scenario)} in {found.tried} tries{'' if found.finished else ' (--tries ended the search)'}")
    )
    click.echo(harmless(f"the same again: kchaos replay {where}"))
    return int(ExitCode.VIOLATION)


def _wanted(file: Path, outcome: Outcome, rule: str | None) -> Wanted:
    violations = [pair for pair in outcome.violations if rule is None or pair[0].id.upper() == rule.upper()]
    if not violations:
        what = f"nothing of {rule}" if rule else "nothing"
        known = ", ".join(sorted({prop.id: None for prop, _ in outcome.violations}))
        hint = f"it violates {known}" if known else "only what fails can be shrunk; `kchaos replay` shows what it does"
        raise InvalidScenario(f"this scenario violates {what}", location=Location(str(file)), hint=hint)
    prop, violation = min(violations, key=lambda pair: (pair[1].severity.rank, pair[1].t))
    return Wanted.of(prop, violation)


def _sizes(before: Scenario, after: Scenario) -> str:
    rows = [
        (len(before.steps), len(after.steps), "steps"),
        (len(before.inputs["objects"]), len(after.inputs["objects"]), "objects"),
        (len(before.topology["nodes"]), len(after.topology["nodes"]), "nodes"),
    ]
    return ", ".join(f"{old} {what} to {new}" for old, new, what in rows)
