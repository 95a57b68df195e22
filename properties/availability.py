"""What users notice: outages, lost requests, quorum, drains and rollouts that never end, pods that find no place.

Severity follows what a careful operator would say: an outage of something that has two or more replicas is an error; the bounded outage of a
single replica is a warning, one for the whole application; requests lost by the race between endpoint removal and SIGTERM likewise.
"""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.check.property import Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark
from kchaos.properties.advice import (
    NODES,
    READY_TOO_EARLY,
    ROLLS,
    of_lost_requests,
    of_no_recovery,
    of_outage,
    of_quorum,
    of_single,
    of_two,
)
from kchaos.properties.common import declare, workload_of
from kchaos.properties.disruption import BEYOND, SORTS, TOO_EARLY, Handlers, UnderFaults, fault_words

SINGLE_MEMBER = "single StatefulSet replica"
"""Root of what befalls the only pod of a StatefulSet unplanned: one weakness, told once."""


class _Outage(UnderFaults):
    """Times in which nobody, or less than a quorum, of a workload really served."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._serving: dict[str, int] = {}
        self._down: dict[str, float] = {}
        self._below: dict[str, float] = {}
        self._wanted: dict[str, int] = {}
        self._outages: dict[str, list[tuple[float, float]]] = {}
        self._lost_quorum: dict[str, tuple[float, float, int, int]] = {}
        self._empty: dict[str, None] = {}
        """Workloads that had a time without any pod that even counted as ready."""
        self._short: dict[str, None] = {}
        """Workloads of which, for a time, fewer than a quorum even counted as ready."""
        self._waits: dict[str, str] = {}
        """Workloads that waited for an answer of the API server, and for which."""

    def marks(self) -> Handlers:
        return {**super().marks(), "members": self._members, "call": self._call}

    def _call(self, mark: Mark) -> Iterable[Violation]:
        """Remember who waits for the API server: Kubernetes is not to blame for taking its pods for ready."""
        data = mark.data
        pod = self.context.view.get("pods", data["pod"]) if data["needed"] and data["state"] != "answered" else None
        if pod is not None:
            self._waits[workload_of(self.context, pod)] = f"{data['verb']} {data['resource']}"
        return ()

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        super()._phase(mark)
        if self.phase == "chaos":
            for workload, count in self._serving.items():
                self._wanted[workload] = self.replicas(workload)
                if count == 0:  # it was down before: that is what the run without faults reports
                    self._down.pop(workload, None)
        return ()

    def _quorum(self, workload: str) -> int | None:
        kind = workload.partition("/")[0]
        asked = self.settings_of(workload).get("quorum")
        if asked is not None:
            return int(asked)
        want = self._wanted.get(workload, 0)
        return want // 2 + 1 if kind == "StatefulSet" and want >= 3 else None

    def _members(self, mark: Mark) -> Iterable[Violation]:
        workload, count = mark.data["workload"], int(mark.data["serving"])
        before = self._serving.get(workload, 0)
        self._serving[workload] = count
        if self.phase not in ("chaos", "heal", "settle") or workload not in self._wanted or self._wanted[workload] == 0:
            return ()
        if int(mark.data["ready"]) == 0:
            self._empty[workload] = None
        if int(mark.data["ready"]) < (self._quorum(workload) or 0):
            self._short[workload] = None
        if count == 0 and before > 0:
            self._down[workload] = mark.t
        elif count > 0 and workload in self._down:
            self._outages.setdefault(workload, []).append((self._down.pop(workload), mark.t))
        quorum = self._quorum(workload)
        if quorum is not None and count < quorum <= before:
            self._below[workload] = mark.t
        elif quorum is not None and count >= quorum and workload in self._below:
            self._close_quorum(workload, mark.t, quorum)
        return ()

    def _close_quorum(self, workload: str, t: float, quorum: int) -> None:
        start = self._below.pop(workload)
        known = self._lost_quorum.get(workload)
        length = t - start + (known[1] if known else 0.0)
        self._lost_quorum[workload] = (known[0] if known else start, length, quorum, self._wanted[workload])

    def finish(self, t: float) -> Iterable[Violation]:
        never = dict(self._down)
        for workload, start in self._down.items():
            self._outages.setdefault(workload, []).append((start, t))
        for workload in list(self._below):
            self._close_quorum(workload, t, self._quorum(workload) or 0)
        for workload, spans in self._outages.items():
            if not self.whole(workload):
                continue
            yield from self._judge(workload, spans, workload in never)
        for workload, (start, length, quorum, want) in self._lost_quorum.items():
            if (workload in self._outages and self._wanted[workload] < 2) or not self.whole(workload):
                continue
            held = self._held(start, start + length)
            ends = f"for {length:.0f} s, until the fault is healed," if held else f"for {length:.0f} s"
            text = f"fewer than {quorum} of {want} members served {ends} during {fault_words(self.faults)}"
            severity, root, advice = Severity.ERROR, f"quorum {workload} {self._class()}", of_quorum(self.faults)
            if self.drains:
                severity, root = Severity.WARNING, f"two drains {workload}"
            elif self.beyond:
                severity, root = Severity.INFO, BEYOND
            elif workload not in self._short:
                severity, root, advice = Severity.WARNING, TOO_EARLY, READY_TOO_EARLY
                text += ", though Kubernetes took enough of them for ready: nothing tells it when a container has started up"
            yield Violation(
                t=start, object=workload, summary=text, severity=severity, root=root,
                figures={"outage_s": round(length, 1), "quorum": quorum}, advice=advice,
            )  # fmt: skip

    def _class(self) -> str:
        return "+".join(sorted({SORTS.get(one["name"], one["name"]) for one in self.faults}))

    def _held(self, start: float, end: float) -> bool:
        """Tell whether a time ended because the fault was healed: it has no end of its own. What only starts slowly starts in the end."""
        if self.heal_s is None or not start < self.heal_s <= end:
            return False
        return end > self.heal_s + 1.0 or any(one["name"] not in ("slow-start", "rollback") for one in self.faults)

    def _judge(self, workload: str, spans: list[tuple[float, float]], never: bool) -> Iterable[Violation]:
        total = sum(end - start for start, end in spans)
        allowed = float(self.settings_of(workload).get("outage_s", 0.0))
        if total <= allowed + 1e-6:
            return
        want = self._wanted[workload]
        held = any(self._held(start, end) for start, end in spans)
        words = fault_words(self.faults)
        figures = {"outage_s": round(total, 1), "unbounded": held or never}
        if never and workload in self.context.facts.get("rollback_targets", ()):
            return  # that a bad template is stuck is told by rollout-ends
        if never:
            text = f"no pod serves at the end, {total:.0f} s after {words} and its healing"
            yield Violation(
                t=spans[-1][0], object=workload, summary=text, root=f"no recovery {workload}", figures=figures,
                severity=Severity.ERROR, advice=of_no_recovery(workload),
            )  # fmt: skip
            return
        ends = "until the fault is healed" if held else f"for {total:.0f} s"
        if self.beyond:
            yield Violation(
                t=spans[0][0], object=workload, summary=f"no pod of {want} served {ends} during {words}", severity=Severity.INFO,
                root=BEYOND, figures=figures,
                advice=of_two(self.faults, want),
            )  # fmt: skip
            return
        if workload in self._waits:
            words += f", while its pods waited for the API server ({self._waits[workload]})"
        if want >= 2 and workload not in self._empty and workload not in self._waits:
            text = (
                f"no pod of {want} answered {ends} during {words}, though Kubernetes took them for ready: nothing tells it"
                " when a container has started up"
            )
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures, root=TOO_EARLY,
                advice=READY_TOO_EARLY,
            )  # fmt: skip
        elif want >= 2:
            text = f"no pod of {want} served {ends} during {words}"
            daemon = workload.startswith("DaemonSet/")  # each serves its own node; whoever lets all go at once says so
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING if daemon else Severity.ERROR, figures=figures,
                root=f"outage {workload} {self._class()}", advice=of_outage(self.context, workload, self.faults),
            )  # fmt: skip
        elif workload.startswith("StatefulSet/") and NODES & {one["name"] for one in self.faults} and not self.planned:
            away = ": nothing replaces a StatefulSet's pod on a node that does not answer" if held else ""
            text = f"its only pod was away {ends} during {words}{away}"
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures, root=SINGLE_MEMBER,
                advice="run three or more replicas; or, once the node is surely off, taint it node.kubernetes.io/out-of-service or delete it",
            )  # fmt: skip
        elif workload.startswith(("Deployment/", "StatefulSet/", "ReplicaSet/", "ReplicationController/", "Pod/")):
            advice, weakness = of_single(self.context, workload, self.faults, held)
            manner = "planned" if self.planned or ROLLS & {one["name"] for one in self.faults} else "unplanned"
            text, member = f"its only pod was away {ends} during {words}", workload.startswith("StatefulSet/")
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures,
                root=weakness or (SINGLE_MEMBER if member and manner == "unplanned" else f"single replica {manner}"), advice=advice,
            )  # fmt: skip


class _LostRequests(UnderFaults):
    """Requests lost in planned operations by workloads that have replicas enough."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lost: dict[str, dict[str, float]] = {}

    def marks(self) -> Handlers:
        return {**super().marks(), "traffic": self._traffic}

    def _traffic(self, mark: Mark) -> Iterable[Violation]:
        if self.phase in ("chaos", "heal", "settle"):
            start = max(mark.data["start"], self.chaos_s)
            length = mark.data["end"] - start
            rates: dict[str, float] = self.context.settings.get("rates", {})
            rate = float(rates.get(mark.data["service"], 10.0))
            table = self._lost.setdefault(mark.data["service"], {})
            for reason, share in mark.data["lost"].items():
                if length > 0:
                    table[reason] = table.get(reason, 0.0) + share * rate * length
        return ()

    def finish(self, t: float) -> Iterable[Violation]:
        if not self.planned or self.beyond:
            return
        for service, table in self._lost.items():
            total = sum(table.values())
            sizes = [self.replicas(one) for one in self.context.settings.get("backing", {}).get(service, ())]
            backing = self.context.settings.get("backing", {}).get(service, ())
            if total < 0.5 or not sizes or max(sizes) < 2 or not any(self.was_up(one) for one in backing):
                continue
            if self.context.settings.get("pods_behind", {}).get(service, 2) < 2:
                continue  # a Service of one pod is away with it
            reasons = ", ".join(f"{count:.0f} {reason}" for reason, count in sorted(table.items()) if count >= 0.5)
            text = f"{total:.0f} requests lost ({reasons}) during {fault_words(self.faults)}"
            yield Violation(
                t=self.chaos_s, object=f"Service/{service}", summary=text, severity=Severity.WARNING,
                root="requests lost in planned operations", figures={"lost_requests": round(total, 1)},
                advice=of_lost_requests(self.context, backing),
            )  # fmt: skip


K8S = "https://kubernetes.io/docs/"
PROPERTIES = (
    declare("KC202", "", "no-outage", "Somebody answers: a workload with replicas always has one that serves, and its quorum.",
            K8S + "concepts/workloads/pods/disruptions/", _Outage, Guarantee.WITHOUT_FAULTS),
    declare("KC205", "", "no-lost-requests", "A planned operation on a replicated workload loses no request.",
            K8S + "tutorials/services/pods-and-endpoint-termination-flow/", _LostRequests, Guarantee.WITHOUT_FAULTS),
)  # fmt: skip
