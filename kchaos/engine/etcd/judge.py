"""A run of a real etcd is judged: properties over its marks, and what they are worth by what was done and what bit.

Everything here follows from the run alone, so that a saved one can be judged again, by this kchaos or a later one.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from kchaos import __version__
from kchaos.check.property import Context, Monitors, Property, Severity, Violation
from kchaos.check.verdict import Verdict, fingerprint
from kchaos.engine.etcd.counters import Elections
from kchaos.engine.etcd.result import Coverage, EtcdFinding, EtcdResult, FaultLine
from kchaos.errors import InvalidScenario
from kchaos.history.operations import OP, Outcome
from kchaos.history.record import Mark, Run
from kchaos.properties.etcd import ETCD
from kchaos.properties.own.declared import undecided

FEW = 100
"""Acknowledged operations per second below which the report says that little was asked; a slow cluster is not a wrong one."""
MANY_UNKNOWN = 0.2
FIRST = ("KC402", "KC401", "KC407", "KC409", "KC403", "KC408")
"""What is told first where one cause breaks several: what was lost, then what was wrong, then what watchers made of it."""
NEEDED = ("KC401", "KC402")
"""A run in which these were not put to the test says nothing, however green the rest is."""
RECOVERS = "KC410"
OF_THE_END = ("KC409", RECOVERS)
"""What is known to hold only of a run that came to its end."""
HINTS = {
    "slow-close": "slow-close breaks only connections that carry something, and an end that is held back for less than some 50 ms is not seen",
}
"""Why a fault often does not bite, where that is not plain."""
NOT_MODELLED = (
    "leases, authentication, compaction, defragmentation, snapshots and membership changes are not part of the workload",
    "disks are not disturbed: a killed member keeps what it wrote, synced or not (SIGKILL spares the page cache)",
    "clocks are not disturbed",
    "two faults of links never overlap (Toxiproxy 2.12 can hang then)",
)
"""What a run of this version does not do, in words."""


def result_of(run: Run, *, command: str, saved: str, kinds: Sequence[str] = ()) -> EtcdResult:
    """Return what a run came to. ``saved``: where it lies; ``kinds``: the faults that were asked for, to tell of those that never came.
    If they were named (the header's inputs say so), and not just all that there are, one that never bit leaves the verdict unknown.

    Raises InvalidScenario for a run that is not one of etcd, or that was edited into none.
    """
    try:
        return _result_of(run, command, saved, kinds)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidScenario(f"not a run of etcd: an entry lacks or spoils {error}", hint="the file was edited; run it again") from error


def _result_of(run: Run, command: str, saved: str, kinds: Sequence[str]) -> EtcdResult:
    marks = [entry for entry in run.entries if isinstance(entry, Mark)]
    monitors = Monitors(ETCD.values(), Context())
    for mark in marks:
        monitors.feed(mark)
    end_s = marks[-1].t if marks else 0.0
    found = monitors.finish(end_s)
    open_ = [(prop, violation) for prop, violation in found if undecided(violation)]
    broken = [(prop, violation) for prop, violation in found if not undecided(violation)]
    why = next((str(mark.data["reason"]) for mark in marks if mark.what == "broken-off"), "")
    if why:  # nobody had healed the faults; a panic, or an exit that nobody had asked for, is one all the same
        broken = [(prop, violation) for prop, violation in broken if prop.id != RECOVERS]
    findings = tuple(_findings(broken, saved))
    counts = Counter(mark.data["outcome"] for mark in marks if mark.what == OP)
    kept = {mark.data["kind"]: 0 for mark in marks if mark.what == OP}
    for mark in marks:
        if mark.what == OP:
            kept[mark.data["kind"]] += 1
    faults = tuple(_faults(marks))
    elections = Elections()
    for mark in marks:
        if mark.what == "status" and "error" not in mark.data:
            elections.see(mark.data["raft_term"])
    seconds = _asked_s(marks)
    rate = counts[Outcome.OK] / seconds if seconds > 0 else 0.0
    exercised = monitors.exercised()
    wrong = [prop for prop, violation in (*broken, *open_) if violation.severity is Severity.ERROR]
    coverage = Coverage(
        properties={
            prop.id: _standing(prop, broken, open_, cut_short=bool(why)) if prop.id in exercised or prop in wrong else "not exercised"
            for prop in ETCD.values()
        },
        names={prop.id: prop.name for prop in ETCD.values()},
        faults_bit=_names(one.name for one in faults if one.bit), faults_inert=_names(one.name for one in faults if not one.bit),
        faults_never=tuple(name for name in kinds if all(one.name != name for one in faults)),
        remarks=tuple(_remarks(counts, rate, coverage_of=exercised)),
    )  # fmt: skip
    header = run.header.scenario
    inputs = header.get("inputs", {})
    ended = any(mark.what == "phase" and mark.data["name"] == "final" for mark in marks)
    verdict, reasons = _verdict(findings, open_, counts, [
        *([f"the run was broken off: {why}"] if why else []),
        *(["the run was broken off before its final reads: what each member holds is not known"] if not ended else []),
        *(f"{ident} {ETCD[ident].name} was not put to the test" for ident in NEEDED if ident not in exercised),
        *_without_bite(faults, kinds if inputs.get("named") else ()),
    ])  # fmt: skip
    return EtcdResult(
        kchaos=__version__, command=str(inputs.get("command", command)), verdict=verdict, exit_code=int(verdict.exit_code), reasons=tuple(reasons),
        backend=str(header.get("topology", {}).get("backend", "")), members=len(header.get("topology", {}).get("members", ())),
        seed=int(header.get("seed", 0)), seconds=round(end_s, 3), operations=sum(counts.values()), ok=counts[Outcome.OK],
        failed=counts[Outcome.FAILED], unknown=counts[Outcome.UNKNOWN], operations_per_s=round(rate, 1), by_kind=dict(sorted(kept.items())),
        elections=elections.seen, faults=faults, findings=findings, coverage=coverage,
        versions=next(({name: str(value) for name, value in mark.data.items()} for mark in marks if mark.what == "versions"), {}),
        run=saved, digest=run.digest, not_modelled=NOT_MODELLED,
    )  # fmt: skip


def _standing(prop: Property, broken: Sequence[tuple[Property, Violation]], open_: Sequence[tuple[Property, Violation]], *, cut_short: bool) -> str:
    """Return what became of a property that was put to the test."""
    if any(one is prop and violation.severity is Severity.ERROR for one, violation in broken):
        return "violated"
    return "unknown" if any(one is prop for one, _ in open_) or (cut_short and prop.id in OF_THE_END) else "held"


def _verdict(findings: Sequence[EtcdFinding], open_: Sequence[tuple[Property, Violation]], counts: Counter[str], unsure: Sequence[str]) -> tuple[Verdict, list[str]]:
    errors = [one for one in findings if one.severity is Severity.ERROR]
    if errors:
        return Verdict.FAIL, [f"{one.id} {one.property}: {one.summary}" for one in errors]
    reasons = [f"{prop.id} {prop.name}: {violation.summary}" for prop, violation in open_]
    reasons += unsure
    if not counts[Outcome.OK]:
        reasons.append("no operation was acknowledged, so there is nothing to judge")
    return (Verdict.UNKNOWN, reasons) if reasons else (Verdict.PASS, [])


def _findings(found: Iterable[tuple[Property, Violation]], saved: str) -> Iterable[EtcdFinding]:
    """Yield one finding for each property and root, with its first violation, the worst first."""
    groups: dict[tuple[str, str], list[tuple[Property, Violation]]] = {}
    for prop, violation in found:
        groups.setdefault((prop.id, violation.root), []).append((prop, violation))
    told: Counter[str] = Counter()
    for (ident, _), group in groups.items():
        told[ident] += len(group)
    # checkers tell of some violations and count the rest: those are counted with the first of their property
    rest = {ident: int(group[0][1].figures.get("total", 0)) - told[ident] for (ident, _), group in reversed(groups.items())}
    firsts = []
    for (ident, _), group in groups.items():
        firsts.append((min(group, key=lambda pair: pair[1].t), len(group) + max(0, rest.pop(ident, 0))))
    for (prop, violation), times in sorted(firsts, key=_rank):
        yield EtcdFinding(
            id=prop.id, property=prop.name, claim=prop.claim, source=prop.source, severity=violation.severity, summary=violation.summary,
            witness=tuple(violation.figures.get("witness", ())), proof=tuple(violation.figures.get("witnesses", ())), t=violation.t, times=times,
            fingerprint=fingerprint(prop.id, violation.root), replay=shlex.join(["kchaos", "etcd", "check", saved]) if saved else "",
        )  # fmt: skip


def _rank(one: tuple[tuple[Property, Violation], int]) -> tuple[int, int, float]:
    (prop, violation), _ = one
    return violation.severity.rank, FIRST.index(prop.id) if prop.id in FIRST else len(FIRST), violation.t


def _faults(marks: Sequence[Mark]) -> Iterable[FaultLine]:
    """Yield every fault of which there is evidence, or of which it is told that it had no target, by time."""
    injected: dict[int, list[Mark]] = {}
    healed: dict[int, float] = {}
    evidence: dict[int, Mark] = {}
    for mark in marks:
        if mark.what == "fault" and mark.data["action"] in ("injected", "unresolved"):
            injected.setdefault(mark.data["step"], []).append(mark)
        elif mark.what == "fault" and mark.data["action"] == "healed":
            healed[mark.data["step"]] = mark.t
        elif mark.what == "evidence":
            evidence[mark.data["step"]] = mark
    for step, began in sorted(injected.items(), key=lambda one: (one[1][0].t, one[0])):
        said = evidence[step].data if step in evidence else {}
        yield FaultLine(
            name=began[0].data["name"], at_s=round(began[0].t, 3), until_s=round(healed[step], 3) if step in healed else None,
            targets=tuple(str(one.data["args"].get("target", "")) for one in began if one.data["action"] == "injected"),
            args={name: value for name, value in began[0].data["args"].items() if name != "target"},
            bit=said.get("status") == "bit", evidence=said.get("evidence", {}), why=str(said.get("why", "")),
        )  # fmt: skip


def _asked_s(marks: Sequence[Mark]) -> float:
    """Return for how many seconds operations were asked."""
    times = [(mark.data["call_s"], mark.data["return_s"]) for mark in marks if mark.what == OP]
    return max(end for _, end in times) - min(begin for begin, _ in times) if times else 0.0


def _without_bite(faults: Sequence[FaultLine], named: Sequence[str]) -> Iterable[str]:
    """Yield a sentence if a fault that the user named never did anything: what was asked has no answer then."""
    idle = [name for name in dict.fromkeys(named) if not any(one.bit for one in faults if one.name == name)]
    if not idle:
        return
    told = []
    for name in idle:
        came = [one for one in faults if one.name == name]
        targets = [one for one in came if not one.why]
        inert = f"{'once' if len(targets) == 1 else f'{len(targets)} times'} without effect"
        told.append(f"{name} ({inert if targets else came[0].why if came else 'never came'})")
    it = "it" if len(idle) == 1 else "them"
    hints = [f"a longer --budget or another --seed gives {it} more chances", *(HINTS[name] for name in idle if name in HINTS)]
    yield f"{', '.join(told)} never bit, though --faults asks for {it}, so nothing is known of {it}; {'; '.join(hints)}"


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _remarks(counts: Counter[str], rate: float, coverage_of: Sequence[str]) -> Iterable[str]:
    asked = sum(counts.values())
    if counts[Outcome.OK] and rate < FEW:
        yield f"only {rate:.0f} operations per second were acknowledged: a slow machine or a long outage; that is no failure, but little was asked"
    if asked and counts[Outcome.UNKNOWN] / asked > MANY_UNKNOWN:
        yield f"{counts[Outcome.UNKNOWN]} of {asked} outcomes are unknown: such an operation proves little"
    for prop in ETCD.values():
        if prop.id not in coverage_of:
            yield f"{prop.id} {prop.name} was not put to the test"
