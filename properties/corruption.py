"""What is claimed when a stored object has changed behind the API server: what has an owner is repaired, all else is told, not judged.

Every other property takes the store for sound, so that what breaks after one of its objects has been corrupted is the corruption's doing:
it is reported at most as a warning (something did not come back after healing), and grouped under the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from kchaos.check.property import BaseMonitor, Context, Property, Severity, Violation
from kchaos.history.record import Mark, Run
from kchaos.properties.common import declare

NOTICED_S = 30.0
"""A repair takes a few seconds; what was put back earlier had no time for one."""
REPAIRED = "KC110"
ADVICE = "no manifest prevents this: back the store up, and let only API servers write to it"


class _Repaired(BaseMonitor):
    """A corrupted status is not the one that healing had to put back; nothing is claimed where another fault may hold the repairer up."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._since: dict[tuple[str, str], float] = {}
        self._disturbed = False

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"corruption": self._seen, "fault": self._fault}

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        if data["action"] == "injected" and not data["planned"] and not data["name"].startswith("corrupt-"):
            self._disturbed = True
        return ()

    def _seen(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        place = (data["field"], data["resource"])
        if data["state"] == "begun" and data["repairs"]:
            self._since[place] = mark.t
            return
        since = self._since.pop(place, None)
        if since is not None and not self._disturbed and data["state"] == "restored" and mark.t - since >= NOTICED_S:
            text = f"{data['field']} was wrong for {mark.t - since:.0f} s, and {data['repairs']} did not repair it"
            yield Violation(t=mark.t, object=data["target"], summary=text, root=f"not repaired {data['resource']}")


def attributed(found: Sequence[tuple[Property, Violation]], run: Run) -> list[tuple[Property, Violation]]:
    """Return violations; those that came after a corruption are its consequences (see the module), but for one that is not repaired."""
    if not found:
        return []
    all_begun = [mark for mark in run.marks("corruption") if mark.data["state"] == "begun"]
    if not all_begun:
        return list(found)
    out = []
    for prop, one in found:
        before = [mark for mark in all_begun if mark.t <= one.t or prop.liveness]  # what never ends has begun earlier
        if prop.id != REPAIRED and before:
            begun = next((mark for mark in before if mark.data["target"] == one.object), before[0])
            severity = Severity.WARNING if prop.liveness and one.severity is Severity.ERROR else Severity.INFO
            text = f"{one.summary} (after {begun.data['field']} was corrupted)"
            one = msgspec.structs.replace(one, severity=severity, summary=text, root=f"corruption {begun.data['fault']}", advice=ADVICE)
        out.append((prop, one))
    return out


PROPERTIES = (
    declare(REPAIRED, "10", "repaired", "A status that was changed behind its controller's or kubelet's back is made right again.",
            "https://kubernetes.io/docs/concepts/architecture/controller/", _Repaired, liveness=True),
)  # fmt: skip
