"""How long workloads took to have all their pods back: times of a campaign by workload and fault, as counts of equal times.

Only examples count in which one sort of fault bit, for who knows else which one it was. Resizing is no loss. A time that ended only after all
was healed says how long the fault was left alone, so it is counted apart from the times that the cluster took by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kchaos.engine.cases import Example
from kchaos.models.faults.objects import RESIZE

RESIZING = (*RESIZE, "scale-up", "scale-down")


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """``times``: (seconds, examples), the shortest first; ``healed``: examples in which all pods were back only after the fault was undone;
    ``never``: in which they were not even then."""

    times: tuple[tuple[float, int], ...] = ()
    healed: int = 0
    never: int = 0

    @property
    def n(self) -> int:
        """Return in how many examples the workload lacked pods."""
        return sum(count for _, count in self.times) + self.healed + self.never


def recoveries(examples: Iterable[Example]) -> dict[str, dict[str, Recovery]]:
    """Return the recovery of each workload under each fault under which it lacked pods."""
    found: dict[str, dict[str, Recovery]] = {}
    for one in examples:
        bit = dict.fromkeys(line["name"] for line in one.report if line["status"] == "bit")
        if len(bit) != 1 or (fault := next(iter(bit))) in RESIZING:
            continue
        for workload, back in one.figures.back.items():
            alone = Recovery(
                times=((_rounded(back.s), 1),) if back.when == "chaos" else (),
                healed=int(back.when == "healed"),
                never=int(back.when == "never"),
            )
            row = found.setdefault(workload, {})
            row[fault] = together([row.get(fault, Recovery()), alone])
    return found


def together(parts: Sequence[Recovery]) -> Recovery:
    """Return several as one."""
    times: dict[float, int] = {}
    for one in parts:
        for seconds, count in one.times:
            times[seconds] = times.get(seconds, 0) + count
    return Recovery(times=tuple(sorted(times.items())), healed=sum(one.healed for one in parts), never=sum(one.never for one in parts))


def added(rows: Sequence[Mapping[str, Recovery]]) -> dict[str, Recovery]:
    """Return the recoveries of one workload in several parts of a campaign, by fault."""
    return {name: together([row[name] for row in rows if name in row]) for name in dict.fromkeys(name for row in rows for name in row)}


def _rounded(seconds: float) -> float:
    """Return seconds as exact as a person wants them, so that there are few different ones."""
    return round(seconds, 1) if seconds < 10 else float(round(seconds))
