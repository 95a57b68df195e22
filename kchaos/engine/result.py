"""The result of a campaign: one JSON document with a version. Everything that is printed or reported is read from here."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import msgspec

from kchaos import __version__
from kchaos.check.verdict import Finding
from kchaos.engine.change import ChangeResult
from kchaos.engine.flips import Flips
from kchaos.engine.matrix import Matrix
from kchaos.engine.recovery import Recovery
from kchaos.engine.timeline import Timeline

SCHEMA_VERSION = 1


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much ran: done and all of level 1, of the pairs; drawn scenarios; failures of earlier runs."""

    run: int
    level1_done: int
    level1: int
    pairs_done: int
    pairs: int
    drawn: int = 0
    triggered: int = 0
    triggers: int = 0
    corpus: int = 0
    interrupted: bool = False

    def words(self) -> str:
        """Return ``level 1 212/212, pairs 40/3800, drawn 20``."""
        told = f"level 1 {self.level1_done}/{self.level1}, pairs {self.pairs_done}/{self.pairs}"
        if self.triggers:
            return f"operations {self.level1_done}/{self.level1}, faults at their events {self.triggered}/{self.triggers}"
        told += f", drawn {self.drawn}" if self.drawn else ""
        return told + (f", corpus {self.corpus}" if self.corpus else "")


class CoverageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was exercised: of faults and of pairs of them (bit, possible), transitions between decisions, and faults that never bit."""

    faults: tuple[int, int] = (0, 0)
    pairs: tuple[int, int] = (0, 0)
    transitions: int = 0
    by_component: dict[str, int] = {}
    never: tuple[str, ...] = ()
    pairs_seen: tuple[tuple[str, str], ...] = ()
    transitions_seen: tuple[str, ...] = ()
    """Which they are, in results of shards only: what several have exercised is counted once."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One workload under one kind of fault: the worst single fault of that kind."""

    outage_s: float = 0.0
    lost_requests: float = 0.0
    examples: int = 0
    severity: str = ""
    rule: str = ""
    """The property that gave the severity."""
    unbounded: bool = False


class WorkloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """One workload: how many pods, where it is declared, and what each kind of fault did to it."""

    workload: str
    replicas: int
    ready: int
    """How many of them were ready without any fault."""
    file: str = ""
    line: int = 0
    faults: dict[str, Cell] = {}
    recovery: dict[str, Recovery] = {}
    """By fault: how long it took until all of its pods answered again."""


class FaultResult(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault: how often exercised, how often it bit, how often it was inert."""

    name: str
    summary: str
    exercised: int
    bit: int
    inert: int


class NoteResult(msgspec.Struct, frozen=True, kw_only=True):
    """One remark on the input."""

    rule: str
    level: str
    file: str
    line: int
    message: str
    hint: str = ""


class PropertyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A property of users: what it claims, where it is declared, in how many examples it was put to the test, and in how many violated.

    Remarks of level info do not count as violated.
    """

    id: str
    name: str
    claim: str
    source: str
    file: str = ""
    line: int = 0
    liveness: bool = False
    exercised: int = 0
    violated: int = 0

    @property
    def standing(self) -> str:
        """Return in words how it stands."""
        if self.violated:
            return f"violated in {self.violated} of {self.exercised} examples"
        return f"held in {self.exercised} examples" if self.exercised else "never judged"


class BaselineResult(msgspec.Struct, frozen=True, kw_only=True):
    """The earlier result that this one was held against: how many findings are in both, and those of it that were mended."""

    file: str
    known: int = 0
    mended: tuple[Finding, ...] = ()


class Still(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of both results, as the earlier one had it."""

    fingerprint: str
    severity: str
    summary: str


class CellChange(msgspec.Struct, frozen=True, kw_only=True):
    """A property under a class of faults: in how many of how many examples it held."""

    id: str
    name: str
    klass: str
    before: tuple[int, int]
    now: tuple[int, int]


class WorkloadChange(msgspec.Struct, frozen=True, kw_only=True):
    """A workload under a fault, then and now."""

    workload: str
    fault: str
    outage_s: tuple[float, float]
    lost_requests: tuple[float, float]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier result beside this one. ``new`` and ``still`` name findings of this one by fingerprint; ``mended`` are gone and what showed
    them was tried again; of ``untried`` ones nothing is known; ``differs``: what the two were made of, if not the same."""

    file: str
    verdict: str
    examples: int = 0
    differs: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    still: tuple[Still, ...] = ()
    mended: tuple[Finding, ...] = ()
    untried: tuple[Finding, ...] = ()
    cells: tuple[CellChange, ...] = ()
    workloads: tuple[WorkloadChange, ...] = ()

    def words(self) -> str:
        """Return ``2 new, 1 mended, 3 still there``."""
        told = f"{len(self.new)} new, {len(self.mended)} mended, {len(self.still)} still there"
        return told + (f", {len(self.untried)} not tried again" if self.untried else "")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document (``kchaos run --json``)."""

    schema_version: int = SCHEMA_VERSION
    kchaos: str = __version__
    verdict: str
    exit_code: int
    reasons: tuple[str, ...] = ()
    """Why the verdict is not pass, in words."""
    fail_on: str = "error"
    """From which severity on a finding makes the verdict fail."""
    shard: str = ""
    """``1/4``: the first of four parts ran here; empty: all."""
    seed: int
    digest: str
    kubernetes: str
    topology: str
    examples: Counts
    objects: int
    workloads: tuple[WorkloadResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    faults: tuple[FaultResult, ...] = ()
    notes: tuple[NoteResult, ...] = ()
    not_modelled: tuple[str, ...] = ()
    assumptions: dict[str, Any] = {}
    command: str = ""
    inputs: dict[str, str] = {}
    """File -> SHA-256 of its bytes."""
    coverage: CoverageResult = CoverageResult()
    matrix: Matrix = Matrix()
    properties: tuple[PropertyResult, ...] = ()
    """Those of users; ``kchaos properties --json`` lists the others."""
    corpus: dict[str, Any] = {}
    """Failures of earlier runs: how many were ``replayed``, the files of those ``mended``, which do not fail any more, and of ``other``, whose
    steps make no sense here, and ``why``."""
    timelines: dict[str, Timeline] = {}
    """The pictures of the worst findings, by fingerprint."""
    flips: Flips = Flips()
    """What changed assumptions would change."""
    baseline: BaselineResult | None = None
    comparison: Comparison | None = None
    change: ChangeResult | None = None
    """What to change, if that was asked for."""
    python: str = platform.python_version()
    duration_s: float = 0.0

    def to_json(self) -> bytes:
        """Return the document as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def with_replays(result: Result, folder: Path | None) -> Result:
    """Return the result with each finding's ``replay`` as a path in the folder where replays were written; None: nowhere."""

    def placed(one: Finding) -> Finding:
        where = str(folder / one.replay) if folder is not None and one.replay else ""
        return msgspec.structs.replace(one, replay=where)

    return msgspec.structs.replace(result, findings=tuple(placed(one) for one in result.findings))
