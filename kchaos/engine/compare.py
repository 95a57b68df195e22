"""Two results of one application side by side: what is new, mended or still there, which cells changed, what got faster or slower.

Unlike a baseline it judges nothing: the verdict stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import PurePosixPath

import msgspec

from kchaos.check.verdict import Finding
from kchaos.engine.baseline import tried
from kchaos.engine.matrix import Matrix
from kchaos.engine.result import CellChange, Comparison, Result, Still, WorkloadChange
from kchaos.errors import InvalidScenario

LEAST_S = 1.0
LEAST_LOST = 1.0
"""Smaller differences of seconds and of requests are not told."""
OPTIONS = ("kubernetes", "topology", "seed", "assumptions", "fail_on", "kchaos")
"""Fields of a result that say how it was made."""
NAMED = 5


def compared(now: Result, before: Result, file: str) -> Result:
    """Return the result with what an earlier one had. Raises InvalidScenario if they have no workload in common."""
    mine, theirs = ({one.workload for one in result.workloads} for result in (now, before))
    if mine and theirs and not mine & theirs:
        raise InvalidScenario(
            f"no workload is in both results: here {sorted(mine)[0]}, in {file} {sorted(theirs)[0]}",
            hint="compare two results of the same application",
        )
    old = {one.fingerprint: one for one in before.findings}
    current = {one.fingerprint for one in now.findings}
    gone = [one for one in before.findings if one.fingerprint not in current]
    comparison = Comparison(
        file=file, verdict=before.verdict, examples=before.examples.run, differs=tuple(_differs(before, now)),
        new=tuple(one.fingerprint for one in now.findings if one.fingerprint not in old),
        still=tuple(_still(old[one.fingerprint], one) for one in now.findings if one.fingerprint in old),
        mended=tuple(one for one in gone if tried(one, before, now)), untried=tuple(one for one in gone if not tried(one, before, now)),
        cells=tuple(_cells(before.matrix, now.matrix)), workloads=tuple(sorted(_workloads(before, now), key=_weight)),
    )  # fmt: skip
    return msgspec.structs.replace(now, comparison=comparison)


def _still(then: Finding, now: Finding) -> Still:
    return Still(fingerprint=now.fingerprint, severity=then.severity.value, summary=then.summary)


def _differs(before: Result, now: Result) -> Iterator[str]:
    """Yield in words what the two were made of, if not the same."""
    for name in OPTIONS:
        a, b = getattr(before, name), getattr(now, name)
        if a != b:
            yield f"{name}: {a} → {b}" if isinstance(a, str | int) else f"{name} differ"
    old, new = _relative(before.inputs), _relative(now.inputs)
    sorts = {
        "changed": [name for name, sha in new.items() if old.get(name, sha) != sha],
        "new": [name for name in new if name not in old], "gone": [name for name in old if name not in new],
    }  # fmt: skip
    for sort, names in sorts.items():
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{sort} files: {', '.join(names[:NAMED])}{more}"


def _relative(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return files by their names below the folder that all of them are in: the same application may be checked out elsewhere."""
    folders = [PurePosixPath(name.replace("\\", "/")).parts for name in inputs]
    levels = zip(*(parts[:-1] for parts in folders), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: all(one == level[0] for one in level), levels))
    return {"/".join(parts[shared:]): sha for parts, sha in zip(folders, inputs.values(), strict=True)}


def _cells(before: Matrix, now: Matrix) -> Iterator[CellChange]:
    """Yield cells of the matrix in which a property held then and does not now, or the other way round."""
    old = {one.id: one for one in before.properties}
    for one in now.properties:
        then = old.get(one.id)
        if then is None:
            continue
        for klass in dict.fromkeys((*then.violated, *one.violated)):
            examples = before.classes.get(klass, 0), now.classes.get(klass, 0)
            bad = [found.violated[klass].examples if klass in found.violated else 0 for found in (then, one)]
            if all(examples) and bool(bad[0]) != bool(bad[1]):
                yield CellChange(
                    id=one.id,
                    name=one.name,
                    klass=klass,
                    before=(examples[0] - bad[0], examples[0]),
                    now=(examples[1] - bad[1], examples[1]),
                )


def _workloads(before: Result, now: Result) -> Iterator[WorkloadChange]:
    """Yield workloads and faults whose outage or lost requests differ, where the fault bit in both."""
    old = {one.workload: one for one in before.workloads}
    for workload in now.workloads:
        then = old.get(workload.workload)
        for fault, cell in workload.faults.items():
            past = then.faults.get(fault) if then is not None else None
            if past is None or not past.examples or not cell.examples:
                continue
            if abs(cell.outage_s - past.outage_s) >= LEAST_S or abs(cell.lost_requests - past.lost_requests) >= LEAST_LOST:
                yield WorkloadChange(
                    workload=workload.workload, fault=fault, outage_s=(past.outage_s, cell.outage_s),
                    lost_requests=(past.lost_requests, cell.lost_requests),
                )  # fmt: skip


def _weight(one: WorkloadChange) -> tuple[float, float, str, str]:
    """Return what sorts changes, the largest first."""
    return -abs(one.outage_s[1] - one.outage_s[0]), -abs(one.lost_requests[1] - one.lost_requests[0]), one.workload, one.fault
