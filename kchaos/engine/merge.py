"""The results of shards to one result: findings with one fingerprint are one, figures are summed up, and a missing shard makes it unknown."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kchaos.canonical import digest
from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine import recovery
from kchaos.engine.baseline import judge
from kchaos.engine.cases import NO_FAULT, THEN
from kchaos.engine.coverage import by_component
from kchaos.engine.flips import Flips
from kchaos.engine.matrix import added
from kchaos.engine.own import undecided_in
from kchaos.engine.pictures import TIMELINES
from kchaos.engine.result import Cell, Counts, CoverageResult, FaultResult, NoteResult, PropertyResult, Result, WorkloadResult
from kchaos.engine.shard import Shard
from kchaos.engine.timeline import Timeline
from kchaos.errors import InvalidScenario
from kchaos.models.faults.catalog import catalog

SAME = ("kchaos", "seed", "kubernetes", "topology", "inputs", "assumptions", "fail_on")
"""What the shards of one run have in common."""
_MORE = re.compile(r" \(and \d+ more like it\)$")


def merge(results: Sequence[Result]) -> Result:
    """Return one result. Raises InvalidScenario if they are not shards of one run."""
    parts = sorted(results, key=lambda one: _shard(one).number)
    shards = [_shard(one) for one in parts]
    _refuse_strangers(parts, shards)
    missing = [n for n in range(1, shards[0].of + 1) if n not in {shard.number for shard in shards}]
    reasons = [reason for reason in parts[0].reasons if all(reason in one.reasons for one in parts)]
    reasons += [unfinished(c.level1_done, c.level1, one.shard) for one in parts if (c := one.examples).level1_done < c.level1]
    reasons += [f"shard {n}/{shards[0].of} is missing: what it would have run is not known" for n in missing]
    findings = _findings(parts)
    reasons += undecided_in(findings)
    baseline = parts[0].baseline
    if baseline is not None:  # what is mended only a comparison with the whole can tell
        baseline = msgspec.structs.replace(baseline, known=sum(one.known for one in findings), mended=())
    verdict = judge(findings, Severity(parts[0].fail_on), unknown=bool(reasons))
    return msgspec.structs.replace(
        parts[0], verdict=verdict.value, exit_code=int(verdict.exit_code), reasons=tuple(dict.fromkeys(reasons)), shard="",
        digest=digest([one.digest for one in parts]), examples=_counts(parts), workloads=_workloads(parts), findings=findings,
        faults=_faults(parts), notes=_notes(parts), coverage=_coverage(parts), command=_command(parts[0].command),
        corpus=_corpus(parts), properties=_properties(parts), baseline=baseline, matrix=added([one.matrix for one in parts]), timelines=_timelines(parts, findings),
        flips=_flips(parts), duration_s=max(one.duration_s for one in parts),
    )  # fmt: skip


def unfinished(done: int, of: int, shard: str = "") -> str:
    """Return in words that level 1 is not complete."""
    return f"level 1 of the sweep is unfinished: {done} of {of} examples ran" + (f" (shard {shard})" if shard else "")


def _shard(one: Result) -> Shard:
    if not one.shard:
        raise InvalidScenario(
            "several results can be merged only if they are shards of one run", hint="give one result, or run with --shard 1/4 …"
        )
    return Shard.parse(one.shard)


def _refuse_strangers(parts: Sequence[Result], shards: Sequence[Shard]) -> None:
    for one, shard in zip(parts, shards, strict=True):
        if (one.baseline is None) != (parts[0].baseline is None):
            raise InvalidScenario(
                f"of shards {shards[0]} and {shard} only one has a baseline", hint="give --baseline to all, or to `kchaos report` only"
            )
        if shard.of != shards[0].of:
            raise InvalidScenario(f"shards {shards[0]} and {shard} are not of one run", hint="give results with the same number of shards")
        for name in SAME:
            if getattr(one, name) != getattr(parts[0], name):
                raise InvalidScenario(
                    f"shards {shards[0]} and {shard} differ in {name}: they are not of one run",
                    hint="run all shards with the same input and options",
                )
        if [prop.claim for prop in one.properties] != [prop.claim for prop in parts[0].properties]:
            raise InvalidScenario(
                f"shards {shards[0]} and {shard} differ in the properties of users: they are not of one run",
                hint="run all shards with the same kchaos.yaml and --properties",
            )
    for before, after in itertools.pairwise(shards):
        if before == after:
            raise InvalidScenario(f"shard {after} is given twice", hint="give each shard's result once")


def _findings(parts: Sequence[Result]) -> tuple[Finding, ...]:
    """Return each finding once, the worst first. Remarks on the input are those of all shards: what one alone says may be for want of examples."""
    groups: dict[str, list[Finding]] = {}
    for one in parts:
        for finding in one.findings:
            groups.setdefault(finding.fingerprint, []).append(finding)
    found = [_one(group) for group in groups.values() if group[0].examples or len(group) == len(parts)]

    def key(one: Finding) -> tuple[bool, bool, int, bool, int, str, str]:
        disturbed = one.fault not in ("", NO_FAULT)
        return (bool(one.accepted), one.known, one.severity.rank, disturbed, -one.examples, one.id, one.fingerprint)

    return tuple(sorted(found, key=key))


def _one(group: Sequence[Finding]) -> Finding:
    """Return the finding that shows it best (severity, fewest steps, longest outage), with what all shards know of it."""

    def key(one: Finding) -> tuple[int, int, float]:
        steps = 0 if one.fault in ("", NO_FAULT) else len(one.fault.split(THEN))
        return (one.severity.rank, steps, -float(one.figures.get("outage_s", one.figures.get("lost_requests", 0.0))))

    best = min(group, key=key)
    if not best.examples:
        return best
    affected = tuple(dict.fromkeys(name for one in group for name in one.affected))
    others = len(affected) - 1
    return msgspec.structs.replace(
        best, affected=affected, faults=tuple(dict.fromkeys(name for one in group for name in one.faults)),
        examples=sum(one.examples for one in group), summary=_MORE.sub("", best.summary) + (f" (and {others} more like it)" if others else ""),
    )  # fmt: skip


def _properties(parts: Sequence[Result]) -> tuple[PropertyResult, ...]:
    return tuple(
        msgspec.structs.replace(rows[0], exercised=sum(one.exercised for one in rows), violated=sum(one.violated for one in rows))
        for rows in zip(*(one.properties for one in parts), strict=True)
    )


def _corpus(parts: Sequence[Result]) -> dict[str, Any]:
    mended = [file for one in parts for file in one.corpus.get("mended", ())]
    return {**parts[0].corpus, "replayed": sum(one.corpus.get("replayed", 0) for one in parts), "mended": list(dict.fromkeys(mended))}


def _counts(parts: Sequence[Result]) -> Counts:
    counts = [one.examples for one in parts]
    return Counts(
        run=sum(c.run for c in counts), level1_done=sum(c.level1_done for c in counts), level1=sum(c.level1 for c in counts),
        pairs_done=sum(c.pairs_done for c in counts), pairs=counts[0].pairs, drawn=sum(c.drawn for c in counts),
        triggered=sum(c.triggered for c in counts), triggers=sum(c.triggers for c in counts),
        corpus=sum(c.corpus for c in counts), interrupted=any(c.interrupted for c in counts),
    )  # fmt: skip


def _workloads(parts: Sequence[Result]) -> tuple[WorkloadResult, ...]:
    """Return the workloads, which are the same in all shards, with the worst of all cells."""
    out = []
    for rows in zip(*(one.workloads for one in parts), strict=True):
        faults = dict.fromkeys(name for row in rows for name in row.faults)
        cells = {name: _cell([row.faults[name] for row in rows if name in row.faults]) for name in faults}
        out.append(msgspec.structs.replace(rows[0], faults=cells, recovery=recovery.added([row.recovery for row in rows])))
    return tuple(out)


def _cell(cells: Sequence[Cell]) -> Cell:
    judged = [one for one in cells if one.severity]
    worst = min(judged, key=lambda one: Severity(one.severity).rank) if judged else Cell()
    return Cell(
        outage_s=max(one.outage_s for one in cells), lost_requests=max(one.lost_requests for one in cells), severity=worst.severity,
        rule=worst.rule, examples=sum(one.examples for one in cells), unbounded=any(one.unbounded for one in cells),
    )  # fmt: skip


def _faults(parts: Sequence[Result]) -> tuple[FaultResult, ...]:
    rows: dict[str, list[FaultResult]] = {}
    for one in parts:
        for row in one.faults:
            rows.setdefault(row.name, []).append(row)
    order = [kind.name for kind in catalog()]
    return tuple(
        FaultResult(
            name=name, summary=rows[name][0].summary, exercised=sum(row.exercised for row in rows[name]),
            bit=sum(row.bit for row in rows[name]), inert=sum(row.inert for row in rows[name]),
        )
        for name in order if name in rows
    )  # fmt: skip


def _notes(parts: Sequence[Result]) -> tuple[NoteResult, ...]:
    return tuple(note for note in parts[0].notes if all(note in one.notes for one in parts))


def _coverage(parts: Sequence[Result]) -> CoverageResult:
    """Return what all shards have exercised: a fault never bit if it did so in no shard; pairs and transitions of several count once."""
    each = [one.coverage for one in parts]
    never = tuple(name for name in each[0].never if all(name in one.never for one in each))
    pairs = dict.fromkeys(pair for one in each for pair in one.pairs_seen)
    seen = dict.fromkeys(name for one in each for name in one.transitions_seen)
    return CoverageResult(
        faults=(each[0].faults[1] - len(never), each[0].faults[1]), pairs=(len(pairs), each[0].pairs[1]), never=never,
        transitions=len(seen), by_component=by_component(seen),
    )  # fmt: skip


def _timelines(parts: Sequence[Result], findings: Sequence[Finding]) -> dict[str, Timeline]:
    """Return the pictures of the worst findings, each from the shard whose run is told."""
    out: dict[str, Timeline] = {}
    for finding in findings:
        for one in parts:
            told = any(own.fingerprint == finding.fingerprint and own.replay == finding.replay for own in one.findings)
            if len(out) < TIMELINES and told and finding.fingerprint in one.timelines:
                out.setdefault(finding.fingerprint, one.timelines[finding.fingerprint])
    return out


def _flips(parts: Sequence[Result]) -> Flips:
    """Return the changes that each shard tried on what decided there; what the verdict would be only the whole could tell."""
    tried = [msgspec.structs.replace(one, verdict="") for part in parts for one in part.flips.tried]
    return Flips(
        scenarios=tuple(dict.fromkeys(name for part in parts for name in part.flips.scenarios)), tried=tuple(dict.fromkeys(tried)),
        left_out=max(part.flips.left_out for part in parts),
    )  # fmt: skip


def _command(command: str) -> str:
    """Return a command without its --shard."""

    def kept(words: Iterable[str]) -> Iterable[str]:
        skip = False
        for word in words:
            if not skip and word != "--shard" and not word.startswith("--shard="):
                yield word
            skip = word == "--shard"

    return shlex.join(kept(shlex.split(command)))
