"""What a run of a real etcd came to, as one JSON document (docs/etcd.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Verdict

SCHEMA_VERSION = 1


class FaultLine(msgspec.Struct, frozen=True, kw_only=True):
    """One fault as it happened. ``bit``: its evidence shows that it did something; one that did not is never counted as survived."""

    name: str
    at_s: float
    until_s: float | None = None
    """When it was healed; None: it ended by itself, or was never injected."""
    targets: tuple[str, ...] = ()
    args: dict[str, Any] = {}
    bit: bool
    evidence: dict[str, int | float | str] = {}
    why: str = ""
    """Why it had no target, if it had none."""


class EtcdFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A failed property: what it claims, in words what is wrong, and the two to four operations or events that prove it."""

    id: str
    property: str
    claim: str
    source: str
    severity: Severity
    summary: str
    witness: tuple[str, ...] = ()
    proof: tuple[dict[str, Any], ...] = ()
    """The witness as data, in its order (the last is what contradicts the others), each as :meth:`kchaos.history.anomaly.Witness.data`
    gives it: ``words``, and if it is an operation of a client ``operation`` (the fields of its mark)."""
    t: float = 0.0
    times: int = 1
    """How many violations of this root there are; the first is told."""
    fingerprint: str = ""
    replay: str = ""
    """The command that judges the saved run again: what happened on a real cluster can't be made to happen again."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was put to the test, and what was not: nothing is claimed of the latter."""

    properties: dict[str, str] = {}
    """id: held, violated, unknown, or not exercised."""
    names: dict[str, str] = {}
    """id: the property's name."""
    faults_bit: tuple[str, ...] = ()
    faults_inert: tuple[str, ...] = ()
    faults_never: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """What weakens the verdict, in words: few operations, many unknown outcomes, logs that could not be read."""


class EtcdResult(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict, figures, faults, findings, versions."""

    schema_version: int = SCHEMA_VERSION
    kchaos: str
    command: str
    verdict: Verdict
    exit_code: int
    reasons: tuple[str, ...] = ()
    """Why the verdict is unknown, or in one line each why it is fail."""
    backend: str
    members: int
    seed: int
    seconds: float
    """From the first to the last phase."""
    operations: int
    ok: int
    failed: int
    unknown: int
    operations_per_s: float
    by_kind: dict[str, int] = {}
    elections: int = 0
    faults: tuple[FaultLine, ...] = ()
    findings: tuple[EtcdFinding, ...] = ()
    coverage: Coverage = Coverage()
    versions: dict[str, str] = {}
    run: str = ""
    """Where the run is saved."""
    digest: str = ""
    not_modelled: tuple[str, ...] = ()
    """What such a run does not do."""
