"""`kchaos replay` and `kchaos explain`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import msgspec

from kchaos.check.property import Property, Severity
from kchaos.commands.lists import own_declared
from kchaos.engine.booting import boot
from kchaos.engine.inputs import only_files
from kchaos.engine.kubernetes import Outcome
from kchaos.engine.kubernetes import run as run_scenario
from kchaos.engine.output import harmless
from kchaos.engine.scenarios import load_system
from kchaos.engine.story import story
from kchaos.errors import ExitCode, InvalidScenario, Location
from kchaos.history.record import FORMAT as RUN_FORMAT
from kchaos.history.record import load as load_run
from kchaos.models.manifests.notes import BY_ID
from kchaos.properties.catalog import CATALOG
from kchaos.properties.etcd import ETCD
from kchaos.properties.own.declared import property_of, undecided


def _again(file: Path) -> Outcome:
    only_files(file)
    scenario, system = load_system(file)
    return run_scenario(system, boot(system, scenario.seed), scenario)


def replay(file: Path, as_json: bool, save: Path | None) -> int:
    """Run a scenario again; exit 1 if it violates something of level error, 3 if a property of users could not be told."""
    outcome = _again(file)
    if save is not None:
        try:
            outcome.run.save(save)
        except OSError as error:
            click.echo(f"warning: can't write {save}: {error.strerror}", err=True)
    violations = sorted(outcome.violations, key=lambda pair: (pair[1].severity.rank, pair[1].t))
    bad = any(violation.severity is Severity.ERROR for _, violation in violations)
    code = ExitCode.VIOLATION if bad else ExitCode.UNKNOWN if any(undecided(violation) for _, violation in violations) else ExitCode.PASS
    if as_json:
        document = {
            "digest": outcome.run.digest, "virtual_s": round(outcome.virtual_s, 3), "steps": outcome.steps,
            "violations": [{"id": prop.id, "property": prop.name, **msgspec.to_builtins(violation)} for prop, violation in violations],
        }  # fmt: skip
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        return int(code)
    about = violations[0][1].object if violations else ""
    for sentence in story(outcome.run, about):
        click.echo(harmless(sentence))
    click.echo("")
    for prop, violation in violations:
        click.echo(harmless(f"{violation.severity.value:7} {prop.id} {violation.object}: {violation.summary}"))
    if not violations:
        click.echo("no violation")
    click.echo(f"digest {outcome.run.digest}")
    return int(code)


def explain(what: str) -> int:
    """Tell a rule, or a story."""
    if re.fullmatch(r"(?i)kc\d{3}", what):
        return _rule(what.upper())
    own = next((one for one in own_declared(None) if one.id == what), None) if not Path(what).exists() else None
    if own is not None:
        _tell(property_of(own))
        return 0
    path = Path(what)
    only_files(path)
    try:
        head = path.read_bytes()[:200]
    except OSError as error:
        raise InvalidScenario(
            f"neither a rule nor a file that can be read: {error.strerror}",
            location=Location(what),
            hint="write KC202, or a .scenario.json or .run.jsonl file",
        ) from error
    if RUN_FORMAT.encode() in head:
        run = load_run(path)
        try:
            sentences = story(run)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InvalidScenario(
                "the run's entries can't be understood", location=Location(what), hint="the file was edited; run it again"
            ) from error
        for sentence in sentences:
            click.echo(harmless(sentence))
        return 0
    outcome = _again(path)
    violations = sorted(outcome.violations, key=lambda pair: (pair[1].severity.rank, pair[1].t))
    for sentence in story(outcome.run, violations[0][1].object if violations else ""):
        click.echo(harmless(sentence))
    for prop, violation in violations:
        click.echo(harmless(f"\n{prop.id} {prop.name}: {prop.claim}\n  {violation.object}: {violation.summary}"))
        if violation.advice:
            click.echo(harmless(f"  what to change: {violation.advice}"))
        click.echo(f"  source: {prop.source}")
    return 0


def _tell(prop: Property) -> None:
    safety = "safety: judged over all that was recorded" if prop.id in ETCD else "safety: judged at every event"
    kind = "liveness: judged after healing" if prop.liveness else safety
    kind += f"; guaranteed {prop.guarantee.value}" if not prop.file else ""
    click.echo(harmless(f"{prop.id} {prop.name}\n\n{prop.claim}\n\n{kind}\nsource: {prop.source}"))


def _rule(ident: str) -> int:
    prop = CATALOG.get(ident) or ETCD.get(ident)
    if prop is not None:
        _tell(prop)
        return 0
    rule = BY_ID.get(ident)
    if rule is not None:
        click.echo(f"{rule.id} {rule.name}\n\n{rule.claim}\n\nsource: {rule.source}")
        return 0
    raise InvalidScenario(f"no rule {ident}", hint="`kchaos properties` lists them")
