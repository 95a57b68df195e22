"""Webhooks that fail closed: they come back after a fault, and never keep the pods that answer them from being made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from kchaos.check.property import Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import controller_of
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, declare, workload_of
from kchaos.properties.disruption import Handlers, UnderFaults, fault_words

TOLD_S = 15.0
"""A shorter time without new pods is not told."""
_FAILED = re.compile(r'failed calling webhook "([^"]+)"')
_KINDS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
_PLURALS = {
    "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "Job": "jobs",
    "ReplicationController": "replicationcontrollers",
}  # fmt: skip


class _FailClosed(UnderFaults):
    """Follows which workloads get no pods because a webhook does not answer."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._since: dict[tuple[str, str], float] = {}
        """(webhook, workload) -> since when no pod of it can be made."""
        self._longest: dict[str, tuple[float, float, str]] = {}
        """Webhook -> (seconds, since when, workload)."""

    def marks(self) -> Handlers:
        return {**super().marks(), "event": self._event}

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod}

    def _event(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        found = _FAILED.search(data["message"]) if data["reason"] == "FailedCreate" else None
        if found is None:
            return ()
        owner = self.context.view.get(_PLURALS.get(data["kind"], ""), f"{data['namespace']}/{data['name']}")
        if owner is not None:
            above = controller_of(owner)
            head = f"{above['kind']}/{data['namespace']}/{above['name']}" if above else f"{data['kind']}/{data['namespace']}/{data['name']}"
            self._since.setdefault((found[1], head), mark.t)
        return ()

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "ADDED" and self._since:
            workload = workload_of(self.context, entry.obj)
            for hook, waiting in [key for key in self._since if key[1] == workload]:
                since = self._since.pop((hook, waiting))
                if entry.t - since > self._longest.get(hook, (0.0,))[0]:
                    self._longest[hook] = (entry.t - since, since, workload)
        return ()

    def finish(self, t: float) -> Iterable[Violation]:
        for hook in dict.fromkeys(name for name, _ in self._since):
            yield from self._for_ever(hook, t)
        for hook, (length, since, workload) in self._longest.items():
            if length > TOLD_S and not any(name == hook for name, _ in self._since):
                text = f"no pod of {_words(workload)} could be made for {length:.0f} s during {fault_words(self.faults)}: webhook {hook} did not answer, and fails closed"
                yield Violation(
                    t=since, object=self._place(hook), summary=text, severity=Severity.INFO, root=f"away {hook}",
                    advice="run two or more replicas of what answers it, spread over nodes",
                )  # fmt: skip

    def _for_ever(self, hook: str, t: float) -> Iterator[Violation]:
        """Say that pods can't be made any more: nothing brings a webhook back whose own pods it refuses."""
        stuck = {workload: since for (name, workload), since in self._since.items() if name == hook and t - since > TOLD_S}
        if not stuck:
            return
        behind = list(self._behind(hook))
        own = next((workload for workload in stuck if workload in behind), "")
        after = fault_words(self.faults)
        if own:
            others = [_words(one) for one in stuck if one != own]
            more = f"; nor can any of {', '.join(others[:3])}{f' and {len(others) - 3} more' if len(others) > 3 else ''}" if others else ""
            text = f"after {after} no pod of {_words(own)} can be made any more: webhook {hook}, which it answers, is asked about its own pods and fails closed{more}"
            space = own.split("/")[1]
            advice = (
                f"leave its own namespace out: namespaceSelector: {{matchExpressions: [{{key: kubernetes.io/metadata.name, operator: NotIn, values: [{space}]}}]}};"
                " or failurePolicy: Ignore"
            )
        else:
            text = f"after {after} no pod of {_words(next(iter(stuck)))} can be made any more: webhook {hook} does not answer, and fails closed"
            advice = "see why what answers it does not come back; or failurePolicy: Ignore"
        yield Violation(t=min(stuck.values()), object=self._place(hook), summary=text, root=f"webhook {hook}", advice=advice)

    def _configurations(self, hook: str) -> Iterator[tuple[Obj, Obj]]:
        for kind in _KINDS:
            for _, one in sorted(self.context.view.table(kind).items()):
                yield from ((one, entry) for entry in one.get("webhooks") or () if entry["name"] == hook)

    def _place(self, hook: str) -> str:
        found = next(self._configurations(hook), None)
        return f"{found[0]['kind']}//{found[0]['metadata']['name']}" if found is not None else f"Webhook//{hook}"

    def _behind(self, hook: str) -> Iterator[str]:
        """Yield the workloads that answer a webhook: what stood behind its Service before chaos."""
        backing: dict[str, tuple[str, ...]] = self.context.settings.get("backing", {})
        for _, entry in self._configurations(hook):
            service = get(entry, "clientConfig", "service", default={})
            yield from backing.get(f"{service.get('namespace')}/{service.get('name')}", ())


def _words(workload: str) -> str:
    return workload.replace("/", " ", 1)


PROPERTIES = (
    declare("KC208", "58", "webhook-comes-back", "A webhook that fails closed never keeps pods from being made for good, least of all its own.",
            "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practice/#avoid-deadlocks", _FailClosed,
            Guarantee.WITHOUT_FAULTS, liveness=True),
)  # fmt: skip
