"""`kchaos run` from texts to result: load, boot, sweep, judge, tell the stories. Files are written by the caller."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Verdict
from kchaos.engine.baseline import against, judge
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.campaign import BudgetOption, Done, campaign, planned
from kchaos.engine.cases import Example, Sort, Variants
from kchaos.engine.checks import checks, not_modelled, unfit_settings, unknown_namespaces, unknown_workloads
from kchaos.engine.corpus import Kept, cases, mended
from kchaos.engine.deciding import deciding
from kchaos.engine.declarations import merged
from kchaos.engine.drawn import Space
from kchaos.engine.findings import Shown, of_examples, of_notes, order
from kchaos.engine.flips import SHARE, Flips, flips, tries_of
from kchaos.engine.hooks import unfit_answers
from kchaos.engine.idle import idle
from kchaos.engine.jobs import ended, met, why_nothing_runs
from kchaos.engine.machines import Machines
from kchaos.engine.matrix import matrix
from kchaos.engine.merge import unfinished
from kchaos.engine.own import never_exercised, own_properties, refuse_unknown_keys, undecided_in
from kchaos.engine.pictures import timelines
from kchaos.engine.recovery import recoveries
from kchaos.engine.replays import Replay, Told, tell
from kchaos.engine.result import Cell, Counts, CoverageResult, FaultResult, NoteResult, Result, WorkloadResult
from kchaos.engine.settings import Settings, SettingsFile
from kchaos.engine.shard import Shard
from kchaos.engine.shrink import TRIES
from kchaos.engine.size import refuse_too_many
from kchaos.engine.sweep import Sweep, choose, space, sweep
from kchaos.engine.system import build, inputs_of
from kchaos.engine.writes import operations
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj
from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.load import Loaded, Text, load
from kchaos.models.manifests.notes import Note
from kchaos.properties.catalog import CATALOG
from kchaos.properties.own.declared import Declared
from kchaos.scenario import At, Step

CORRUPTION = "corruption"
"""Faults of this group are only tried when they are named: what a corrupted store breaks is no fault of the application."""
SHRINKING = 0.5
"""Share of a budget that shrinking may take on top of it."""


class Question(NamedTuple):
    """What `kchaos run` is asked."""

    texts: Sequence[Text]
    machines: Callable[[Sequence[Obj]], Machines]
    settings: Settings = Settings()
    context: Sequence[Text] = ()
    faults: str | None = None
    budget: BudgetOption = BudgetOption()
    seed: int = 0
    fail_on: Severity = Severity.ERROR
    jobs: int = 1
    kubernetes: str = "1.34"
    namespace: str = "default"
    command: str = ""
    triggers: bool = False
    """Instead of single faults: operations, and each fault at each event of each of them."""
    corpus: Sequence[Kept] = ()
    """Failures of earlier runs, to be tried first."""
    only_corpus: bool = False
    """Nothing else is tried."""
    smaller: bool = True
    """Whether what the answer holds for the corpus is made to fail on a smaller cluster: that takes tries."""
    shard: Shard = Shard()
    """Which part of it runs here."""
    properties: Sequence[Declared] = ()
    """What users claim, beside what the settings say."""
    baseline: tuple[str, Result] | None = None
    """An earlier result and its file: what it has decides nothing."""


class Listener:
    """What a progress display hears; this one says nothing."""

    def loaded(self, loaded: Loaded, machines: Machines) -> None:
        """The input was read."""

    def planned(self, level1: int, total: int) -> None:
        """The sweep is known."""

    def ran(self, one: Example) -> None:
        """One example ran."""


class Answer(NamedTuple):
    """The result; the replays of its findings, by fingerprint; and those of them that are to be kept in the corpus."""

    result: Result
    replays: dict[str, Replay]
    corpus: dict[str, Replay]
    prepared: Prepared
    done: Done
    terminated: bool = False
    """Interrupted by SIGTERM rather than Ctrl-C."""


class Prepared(NamedTuple):
    """A question's input, read and booted."""

    loaded: Loaded
    context: Loaded
    machines: Machines
    system: System
    booted: Boot


class Found(NamedTuple):
    """What a campaign found, what is said of the input, what of the corpus was replayed, and when all of it began."""

    done: Done
    notes: list[Note]
    corpus: dict[str, Any]
    began: float


def prepare(question: Question, listener: Listener | None = None) -> Prepared:
    """Read and boot what a question asks of. Raises InvalidScenario if nothing can be run; then its ``notes`` say why."""
    loaded = load(question.texts, question.namespace, question.kubernetes)
    context = load(question.context, question.namespace, question.kubernetes)
    if not loaded.manifests and not loaded.custom:
        raise NothingToRun(loaded.notes, [text.name for text in question.texts])
    return assemble(question, loaded, context, listener)


def assemble(question: Question, loaded: Loaded, context: Loaded, listener: Listener | None = None) -> Prepared:
    """Put what was read on machines and boot it. Raises InvalidScenario if that can't be."""
    listener = listener or Listener()
    objects = [one.obj for one in loaded.manifests]
    manifests = [*loaded.manifests, *context.manifests]
    refuse_too_many(manifests)
    machines = question.machines(objects)
    refuse_too_many(manifests, machines.topology.nodes)
    beside = [*machines.objects, *(one.obj for one in context.manifests)]
    names = {one.id for one in loaded.manifests}
    declared = merged(question.settings.declared(), question.properties)
    inputs = inputs_of(objects, [one for one in beside if _id(one) not in names], question.settings, question.kubernetes, declared)
    topology: dict[str, Any] = msgspec.to_builtins(machines.topology)
    system = build(topology, inputs)
    listener.loaded(loaded, machines)
    booted = boot(system, question.seed)
    refuse_unknown_keys(declared, booted)
    return Prepared(loaded, context, machines, system, booted)


def execute(question: Question, listener: Listener | None = None) -> Answer:
    """Answer a question. Raises InvalidScenario if nothing can be run; then its ``notes`` say why."""
    listener = listener or Listener()
    prepared = prepare(question, listener)
    system, booted = prepared.system, prepared.booted
    plan, drawn = _planned(question, system, booted)
    budget = question.budget
    began = time.monotonic()
    corpus, gone = cases(question.corpus, system)
    listener.planned(len(plan.level1), planned(plan, budget, drawn, question.shard) + len(question.shard.part(corpus)))
    done = campaign(
        system, booted, plan, seed=question.seed, budget=budget, jobs=question.jobs, progress=listener.ran, corpus=corpus, space=drawn,
        shard=question.shard,
    )  # fmt: skip
    notes = remarks(question, prepared, done)
    replayed = question.shard.part([one for one in question.corpus if one.file not in gone])
    found = Found(
        done, notes, {"replayed": len(replayed), "mended": mended(replayed, (), done.examples), "other": list(gone), "why": gone}, began
    )
    return _conclude(question, prepared, found)


def remarks(question: Question, prepared: Prepared, done: Done) -> list[Note]:
    """Return what is said of the input: by the loader, and by checks that know what ran."""
    loaded, context, _, system, booted = prepared
    notes = [*loaded.notes, *context.notes, *checks(loaded, booted, [one.obj for one in context.manifests], question.settings.webhooks)]
    notes += ended(loaded, booted, met(done.examples))
    notes += idle(loaded, booted)
    notes += unfit_answers(question.settings, [*loaded.manifests, *context.manifests])
    notes += unknown_workloads(question.settings, booted)
    notes += unknown_namespaces(question.settings, [*system.objects, *system.context])
    seen = dict.fromkeys(name for one in done.examples for _, v in one.violations for name in (v.object, v.root))
    notes += unfit_settings(question.settings, loaded, seen)
    notes += never_exercised(system.properties, done.examples)
    return notes


def _planned(question: Question, system: System, booted: Boot) -> tuple[Sweep, Space | None]:
    """Return what is swept, and what is drawn from."""
    kinds = catalog()
    chosen = choose(question.faults, kinds)
    if question.only_corpus:
        return Sweep((), ()), None
    plan = _triggers(question, system, booted) if question.triggers else sweep(system, booted, chosen, question.seed)
    drawn = chosen if question.faults is not None else [kind.name for kind in kinds if kind.klass != CORRUPTION]
    return plan, space(system, booted, drawn, question.seed)


def _triggers(question: Question, system: System, booted: Boot) -> Sweep:
    """Return the trigger sweep: what brings events about, and which faults meet them.

    Chosen faults of level 1 (operations, crashes, lost nodes) bring events about, the others meet them. Without a choice of the one or the
    other: the operations of the sweep over writes, all faults that can matter.
    """
    kinds = catalog()
    chosen = choose(question.faults, kinds) if question.faults is not None else None
    mine = [name for name in chosen or () if kinds.get(name).level1]
    faults = tuple(name for name in chosen or () if name not in mine)
    steps = operations(system, booted, mine or None)
    names = ["scale-up"] if not mine or "scale-up" in mine else []
    steps += [
        Step(do="scale-up", args={**step.args, "by": 2})  # two new pods at once compete for what there is
        for step in sweep(system, booted, names).singles
        if step.args["target"].startswith("StatefulSet/")
    ]
    drains = [step for (step,) in sweep(system, booted, ["drain"]).level1[1:3]] if any(step.do == "drain" for step in steps) else []
    two = [(drains[0], msgspec.structs.replace(drains[1], when=At(1.0)))] if len(drains) == 2 else []  # people do that
    return Sweep(
        ((), *((step,) for step in steps), *two), (), triggers=True, at_events=None if chosen is None or (mine and not faults) else faults
    )


def _id(obj: Obj) -> str:
    return f"{obj['kind']}/{obj['metadata'].get('namespace', '')}/{obj['metadata'].get('name', '')}"


class NothingToRun(InvalidScenario):
    """No object could be read; ``notes`` say why."""

    def __init__(self, notes: Sequence[Note], names: Sequence[str]) -> None:
        self.notes = tuple(notes)
        where = names[0] if len(names) == 1 else f"{len(names)} files"
        super().__init__(f"nothing to run: no Kubernetes object in {where}", hint="give YAML or JSON manifests, a chart or a kustomization")


def _conclude(question: Question, prepared: Prepared, found: Found) -> Answer:
    loaded, _, machines, system, booted = prepared
    done, notes = found.done, found.notes
    manifests = {one.id: one for one in loaded.manifests}
    accepts = question.settings.accept
    earlier = {one.fingerprint for one in question.baseline[1].findings} if question.baseline is not None else ()
    shown = order([*of_examples(done, manifests, accepts, system.properties), *of_notes(notes, accepts)], earlier)
    unknown, reasons = _doubts(question, loaded, booted, done, notes)
    if undecided := undecided_in(one.finding for one in shown):
        unknown, reasons = True, [*reasons, *undecided]
    verdict = judge([one.finding for one in shown], question.fail_on, unknown or not done.complete)
    variants = Variants(system, booted, question.seed)
    told = _told(question, variants, shown, found)
    result = Result(
        verdict=verdict.value, exit_code=int(verdict.exit_code), reasons=tuple(dict.fromkeys(reasons)), fail_on=question.fail_on.value,
        shard="" if question.shard.whole else str(question.shard), seed=question.seed, digest=done.digest(),
        kubernetes=question.kubernetes, topology=machines.words, examples=_counts(done),
        objects=len(loaded.manifests) + len(loaded.custom), workloads=_workloads(booted, done, manifests), findings=tuple(told.findings),
        faults=_faults(done), notes=tuple(NoteResult(rule=n.rule, level=n.level, file=n.file, line=n.line, message=n.message, hint=n.hint) for n in notes),
        not_modelled=tuple(not_modelled(loaded, question.settings.webhooks)), assumptions=_assumptions(system, booted, question.settings), command=question.command,
        inputs=_inputs(question), coverage=_coverage(done, question.shard), corpus=found.corpus,
        matrix=matrix(done.examples, {kind.name: kind.klass for kind in catalog()}, [*system.properties, *CATALOG.values()]),
        properties=own_properties(system.properties, done.examples),
        timelines=timelines(told.findings, told.replays, system.settings.get("rates", {})), flips=_flips(question, variants, shown, told, found, verdict),
    )  # fmt: skip
    if question.baseline is not None:
        result = against(result, question.baseline[1], question.baseline[0])
    return Answer(result, told.replays, told.corpus, prepared, done, done.terminated)


def _doubts(question: Question, loaded: Loaded, booted: Boot, done: Done, notes: Sequence[Note]) -> tuple[bool, list[str]]:
    """Return whether something could not be told, and why the verdict may be no pass, in words."""
    reasons = [note.message for note in notes if note.level == "unknown"]
    unknown = bool(reasons)
    if not booted.at_rest:
        unknown = True
        reasons.append("the cluster did not come to rest within 15 minutes after the objects were applied")
    if not done.complete:
        reasons.append(unfinished(*done.level1, "" if question.shard.whole else str(question.shard)))
    if question.triggers and not done.triggers[0]:
        unknown = True
        reasons.append(
            "no fault was tried at any event: choose operations and faults of requests, watches or processes, and a larger --budget"
        )
    if not booted.workloads and not unknown and (why := why_nothing_runs(loaded, notes, met(done.examples))):
        reasons.append(why)
        unknown = True
    return unknown, reasons


def _told(question: Question, variants: Variants, shown: Sequence[Shown], found: Found) -> Told:
    """Tell the stories of findings; shrinking may take half of the budget on top of it."""
    budget = question.budget
    tries = TRIES if budget.examples is None else int(budget.examples * SHRINKING)
    until = found.began + budget.seconds * (1 + SHRINKING) if budget.seconds is not None else None
    return tell(
        variants, shown, fail_on=question.fail_on, known=[one.fingerprint for one in question.corpus], tries=tries,
        interrupted=found.done.interrupted, until=lambda: until is not None and time.monotonic() >= until, smaller=question.smaller,
    )  # fmt: skip


def _flips(question: Question, variants: Variants, shown: Sequence[Shown], told: Told, found: Found, verdict: Verdict) -> Flips:
    """Change assumptions, one at a time; it may take a tenth of the budget on top of it, after what shrinking may take."""
    budget, done = question.budget, found.done
    if done.interrupted:
        return Flips()
    until = found.began + budget.seconds * (1 + SHRINKING + SHARE) if budget.seconds is not None else None
    return flips(
        deciding(shown, told, variants, done.examples, question.fail_on), verdict=verdict.value, fail_on=question.fail_on,
        accepts=question.settings.accept, tries=tries_of(len(done.examples), budget.examples),
        until=lambda: until is not None and time.monotonic() >= until,
    )  # fmt: skip


def _inputs(question: Question) -> dict[str, str]:
    """Return the hash of each file that the answer follows from."""
    found = {text.name: hashlib.sha256(text.data).hexdigest() for text in (*question.texts, *question.context)}
    settings = question.settings
    return {**found, settings.file: settings.sha256} if isinstance(settings, SettingsFile) and settings.sha256 else found


def _counts(done: Done) -> Counts:
    return Counts(
        run=len(done.examples), level1_done=done.level1[0], level1=done.level1[1], pairs_done=done.pairs[0], pairs=done.pairs[1],
        drawn=done.count(Sort.DRAWN), triggered=done.triggers[0], triggers=done.triggers[1], corpus=done.count(Sort.CORPUS), interrupted=done.interrupted,
    )  # fmt: skip


def _coverage(done: Done, shard: Shard) -> CoverageResult:
    found = done.coverage
    return CoverageResult(
        faults=found.faults, pairs=found.pairs, transitions=found.transitions, by_component=dict(found.by_component), never=found.never,
        pairs_seen=() if shard.whole else found.pairs_seen, transitions_seen=() if shard.whole else found.transitions_seen,
    )  # fmt: skip


def _workloads(booted: Boot, done: Done, manifests: dict[str, Any]) -> tuple[WorkloadResult, ...]:
    cells: dict[str, dict[str, Cell]] = {workload: {} for workload in booted.workloads}
    for one in done.examples:
        if len(one.steps) != 1:
            continue
        fault = one.steps[0].do
        bit = any(line["status"] == "bit" for line in one.report)
        severities = {v.object: (v.severity, rule) for rule, v in sorted(one.violations, key=lambda pair: -pair[1].severity.rank)}
        lost_by: dict[str, float] = {}
        for service, lost in one.figures.lost.items():
            for workload in booted.backing.get(service, ()):
                lost_by[workload] = max(lost_by.get(workload, 0.0), lost)
        for workload, row in cells.items():
            target = one.steps[0].args.get("target")
            if "/" in str(target) and target != workload and workload not in one.figures.outage_s:
                continue
            before = row.get(fault, Cell())
            severity, rule = severities.get(workload, (None, ""))
            worse = severity is not None and (not before.severity or severity.rank < Severity(before.severity).rank)
            row[fault] = Cell(
                outage_s=max(before.outage_s, one.figures.outage_s.get(workload, 0.0)), examples=before.examples + bit,
                lost_requests=max(before.lost_requests, lost_by.get(workload, 0.0)),
                severity=severity.value if worse and severity is not None else before.severity,
                rule=rule if worse else before.rule,
                unbounded=before.unbounded or any(v.object == workload and bool(v.figures.get("unbounded")) for _, v in one.violations),
            )  # fmt: skip
    out, times = [], recoveries(done.examples)
    for workload in sorted(cells):
        manifest = manifests.get(workload)
        out.append(WorkloadResult(
            workload=workload, replicas=booted.workloads[workload].replicas, ready=booted.ready_before.get(workload, 0), file=manifest.file if manifest else "",
            line=manifest.line if manifest else 0, faults=cells[workload], recovery=times.get(workload, {}),
        ))  # fmt: skip
    return tuple(out)


def _faults(done: Done) -> tuple[FaultResult, ...]:
    counts: dict[str, list[int]] = {}
    for one in done.examples:
        for line in one.report:
            row = counts.setdefault(line["name"], [0, 0, 0])
            row[0] += 1
            row[1] += line["status"] == "bit"
            row[2] += line["status"] == "inert"
    kinds = catalog()
    return tuple(
        FaultResult(name=kind.name, summary=kind.summary, exercised=row[0], bit=row[1], inert=row[2])
        for kind in kinds
        if (row := counts.get(kind.name, []))
    )


def _assumptions(system: System, booted: Boot, settings: Settings) -> dict[str, Any]:
    base = msgspec.to_builtins(system.assumptions.default)
    return {"defaults": base, "workloads": settings.workloads, "storage_class": "standard: a zonal disk, made where its first pod goes"}
