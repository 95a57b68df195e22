"""What a page needs of a run, put together in one pass: a page costs the same for a thousand operations as for a million."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, NamedTuple

from kchaos.errors import InvalidScenario
from kchaos.history.record import Mark, Run

MOST_BUCKETS = 240
WIDTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
POINTS = 300
"""Points of a member's curve."""
AFTER = {"started": "running", "restarted": "running", "resumed": "running", "killed": "down", "exited": "down", "paused": "paused"}
"""What a member is after an event of its process."""


class Stretch(NamedTuple):
    """From when to when something was so."""

    start: float
    end: float
    what: str


class Lane(NamedTuple):
    """A member over time: its process, when it ran and last said that it leads, or did not answer, and its applied index in pieces."""

    name: str
    states: tuple[Stretch, ...]
    leads: tuple[Stretch, ...]
    silent: tuple[Stretch, ...]
    applied: tuple[tuple[tuple[float, int], ...], ...]


class Term(NamedTuple):
    """When a new term was first told of, and who was first said to lead in it (empty: nobody)."""

    t: float
    term: int
    leader: str


class Load(NamedTuple):
    """Operations that returned within one interval; ``p50`` and ``p99`` seconds of those that are ok, None if none is."""

    t: float
    ok: int
    failed: int
    unknown: int
    p50: float | None
    p99: float | None


class KindRow(NamedTuple):
    """Operations of one kind; seconds of those that are ok."""

    kind: str
    ok: int
    failed: int
    unknown: int
    p50: float | None
    p99: float | None
    longest: float | None


class WatcherRow(NamedTuple):
    """A watcher: ``asked`` how often it was begun or resumed, from which revisions, what it has seen, why it ended."""

    watcher: str
    member: str
    prefix: str
    asked: int
    first_from: int
    events: int
    answers: int
    progress: int
    last: int
    ended: tuple[str, ...]


class MemberRow(NamedTuple):
    """A member in numbers, and as it was in the end."""

    name: str
    killed: int
    paused: int
    led_s: float
    revision: int | None
    term: int | None
    leader: str
    reachable: bool | None
    hash: str
    panics: int


class Facts(NamedTuple):
    """All of it; times in seconds since the run began."""

    end_s: float
    phases: tuple[Stretch, ...]
    lanes: tuple[Lane, ...]
    terms: tuple[Term, ...]
    width_s: float
    """Of an interval of ``load``."""
    load: tuple[Load, ...]
    kinds: tuple[KindRow, ...]
    errors: tuple[tuple[str, str, int], ...]
    """Outcome, text, how often; the most frequent first."""
    watchers: tuple[WatcherRow, ...]
    members: tuple[MemberRow, ...]
    panics: tuple[tuple[str, str], ...]
    events: tuple[tuple[float, str, str], ...]
    """What was done to processes: when, member, event."""


def facts(run: Run) -> Facts:
    """Return what a page shows of a run. Raises InvalidScenario for one whose marks are not those of etcd."""
    by: dict[str, list[Mark]] = defaultdict(list)
    for entry in run.entries:
        if isinstance(entry, Mark):
            by[entry.what].append(entry)
    try:
        return _facts(by, max((entry.t for entry in run.entries), default=0.0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = f"no `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
        raise InvalidScenario(f"not a run of etcd: {missing} in one of its entries", hint="the file was edited; run it again") from error


def _facts(by: dict[str, list[Mark]], end_s: float) -> Facts:
    phases = [(mark.t, str(mark.data["name"])) for mark in by["phase"]]
    width_s = float(next((one for one in WIDTHS_S if end_s / one <= MOST_BUCKETS), WIDTHS_S[-1]))
    load, kinds, errors = _operations(by["op"], width_s, end_s)
    names = sorted({str(mark.data["member"]) for what in ("member", "status", "final") for mark in by[what]})
    lanes = [_lane(name, by, end_s) for name in names]
    return Facts(
        end_s=end_s, phases=tuple(stretches(phases, end_s)), lanes=tuple(lanes), terms=tuple(_terms(by["status"], names)), width_s=width_s,
        load=load, kinds=kinds, errors=errors, watchers=_watchers(by), members=tuple(_member(lane, by) for lane in lanes),
        panics=tuple((str(mark.data["member"]), str(mark.data["line"])) for mark in by["panic"]),
        events=tuple((mark.t, str(mark.data["member"]), str(mark.data["event"])) for mark in by["member"]),
    )  # fmt: skip


def stretches(changes: Iterable[tuple[float, str]], end_s: float) -> list[Stretch]:
    """Return what was so from each change to the next; the same twice is one."""
    out: list[Stretch] = []
    for t, what in changes:
        if out and out[-1].what == what:
            continue
        if out:
            out[-1] = out[-1]._replace(end=t)
        out.append(Stretch(t, end_s, what))
    return out


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest of sorted values that at least a share of them does not exceed (nearest rank); None of none."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else None


def _operations(marks: Sequence[Mark], width_s: float, end_s: float) -> tuple[tuple[Load, ...], tuple[KindRow, ...], tuple[tuple[str, str, int], ...]]:
    size = int(end_s / width_s) + 1 if marks else 0
    cells: dict[tuple[int, str], list[float]] = defaultdict(list)  # seconds of those that are ok, by interval and kind
    others: Counter[tuple[int, str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for mark in marks:  # a million of them: one look-up for each
        data = mark.data
        returned = data["return_s"]
        index = min(size - 1, max(0, int(returned / width_s)))
        if data["outcome"] == "ok":
            cells[index, data["kind"]].append(returned - data["call_s"])
        else:
            outcome = str(data["outcome"])
            others[index, str(data["kind"]), outcome] += 1
            errors[outcome, str(data.get("error", ""))] += 1
    took: list[list[float]] = [[] for _ in range(size)]
    took_kind: dict[str, list[float]] = defaultdict(list)
    for (index, kind), values in cells.items():
        took[index] += values
        took_kind[str(kind)] += values
    counts: list[Counter[str]] = [Counter() for _ in range(size)]
    of_kind: dict[str, Counter[str]] = {kind: Counter() for kind in took_kind}
    for (index, kind, outcome), number in others.items():
        counts[index][outcome] += number
        of_kind.setdefault(kind, Counter())[outcome] += number
    for values in (*took, *took_kind.values()):
        values.sort()
    load = tuple(
        Load(n * width_s, len(took[n]), found["failed"], found["unknown"], quantile(took[n], 0.5), quantile(took[n], 0.99))
        for n, found in enumerate(counts)
    )
    kinds = tuple(
        KindRow(kind, len(took_kind[kind]), found["failed"], found["unknown"], quantile(took_kind[kind], 0.5), quantile(took_kind[kind], 0.99),
                took_kind[kind][-1] if took_kind[kind] else None)
        for kind, found in sorted(of_kind.items())
    )  # fmt: skip
    return load, kinds, tuple((outcome, text, number) for (outcome, text), number in errors.most_common())


def _lane(name: str, by: dict[str, list[Mark]], end_s: float) -> Lane:
    events = [mark for mark in by["member"] if mark.data["member"] == name]
    statuses = [mark for mark in by["status"] if mark.data["member"] == name]
    changes = [(mark.t, AFTER.get(str(mark.data["event"]), "running")) for mark in events]
    if not changes or changes[0][1] != "running":
        changes.insert(0, (0.0, "running"))
    told = stretches([(mark.t, _told(mark.data, name)) for mark in statuses], end_s)
    states = stretches(changes, end_s)
    runs = [one for one in states if one.what == "running"]
    leads = _both([one for one in told if one.what == "leads"], runs)
    return Lane(
        name, tuple(states), tuple(leads),
        tuple(one for one in told if one.what == "silent"), tuple(_applied(statuses, end_s)),
    )  # fmt: skip


def _both(told: Sequence[Stretch], runs: Sequence[Stretch]) -> list[Stretch]:
    """Return when it said what it is told and ran, too; both are in order."""
    out: list[Stretch] = []
    first = 0
    for one in told:
        while first < len(runs) and runs[first].end <= one.start:
            first += 1
        at = first
        while at < len(runs) and runs[at].start < one.end:
            out.append(Stretch(max(one.start, runs[at].start), min(one.end, runs[at].end), one.what))
            at += 1
    return out


def _told(data: dict[str, Any], name: str) -> str:
    if "error" in data:
        return "silent"
    return "leads" if data["leader"] == name else "follows"


def _applied(statuses: Sequence[Mark], end_s: float) -> list[tuple[tuple[float, int], ...]]:
    """Return the applied index over time, not more than :data:`POINTS` points or so; a new piece after each silence that can be seen."""
    gap = end_s / POINTS
    pieces: list[list[tuple[float, int]]] = [[]]
    broken = False
    for mark in statuses:
        if "raft_applied_index" not in mark.data:
            broken = True
            continue
        point = (mark.t, int(mark.data["raft_applied_index"]))
        if broken and pieces[-1] and mark.t - pieces[-1][-1][0] >= gap:
            pieces.append([])
        broken = False
        piece = pieces[-1]
        if len(piece) > 1 and mark.t - piece[-2][0] < gap:
            piece[-1] = point
        else:
            piece.append(point)
    return [tuple(piece) for piece in pieces if piece]


def _terms(statuses: Iterable[Mark], names: Sequence[str]) -> list[Term]:
    """Return the terms in order; a leader that is told by its number at first is known by name a little later."""
    out: list[Term] = []
    for mark in statuses:
        if "error" in mark.data:
            continue
        term, leader = int(mark.data["raft_term"]), str(mark.data["leader"])
        if not out or term > out[-1].term:
            out.append(Term(mark.t, term, leader))
        elif term == out[-1].term and out[-1].leader not in names and leader in names:
            out[-1] = out[-1]._replace(leader=leader)
    return out


def _watchers(by: dict[str, list[Mark]]) -> tuple[WatcherRow, ...]:
    rows: dict[str, WatcherRow] = {}
    for mark in by["watch"]:
        data, name = mark.data, str(mark.data["watcher"])
        row = rows.get(name) or WatcherRow(name, "", "", 0, int(data["from_revision"]), 0, 0, 0, 0, ())
        rows[name] = row._replace(asked=row.asked + 1, member=str(data["member"]), prefix=str(data["prefix"]))
    answers: Counter[str] = Counter()
    events: Counter[str] = Counter()
    last: dict[str, int] = {}
    for mark in by["watched"]:
        name = str(mark.data["watcher"])
        answers[name] += 1
        events[name] += len(mark.data["events"])
        last[name] = max(last.get(name, 0), int(mark.data["revision"]))
    progress = Counter(str(mark.data["watcher"]) for mark in by["progress"])
    ended: dict[str, list[str]] = defaultdict(list)
    for mark in by["watch-ended"]:
        ended[str(mark.data["watcher"])].append(str(mark.data["reason"]))
    return tuple(
        row._replace(events=events[name], answers=answers[name], progress=progress[name], last=last.get(name, 0), ended=tuple(ended[name]))
        for name, row in rows.items()
    )


def _member(lane: Lane, by: dict[str, list[Mark]]) -> MemberRow:
    events = Counter(str(mark.data["event"]) for mark in by["member"] if mark.data["member"] == lane.name)
    final: dict[str, Any] = next((mark.data for mark in reversed(by["final"]) if mark.data["member"] == lane.name), {})
    hashed = next((mark.data for mark in reversed(by["hash"]) if mark.data["member"] == lane.name), None)
    return MemberRow(
        name=lane.name, killed=events["killed"], paused=events["paused"], led_s=sum(one.end - one.start for one in lane.leads),
        revision=final.get("revision"), term=final.get("raft_term"), leader=str(final.get("leader", "")), reachable=final.get("reachable"),
        hash=f"{hashed['hash']} at revision {hashed['revision']}" if hashed else "",
        panics=sum(1 for mark in by["panic"] if mark.data["member"] == lane.name),
    )  # fmt: skip
