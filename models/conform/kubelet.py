"""The scripted kubelet of the recordings: one status write when a pod starts, one when it stops; nothing in between.

Its rules are those of the recorder: ``start_s``, ``stop_s`` and per-pod rules (``match`` by image, name, labels, completion index).
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, name, namespace, set_condition, terminating, uid
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.times import micro, stamp
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.client.client import Client, Session
from kchaos.models.client.informer import Informer
from kchaos.runtime import Runtime

KUBELET = Identity("kubelets", ("system:masters", "system:authenticated"), "kubelet")
"""The recorder's kubelets were one client, with an administrator's certificate."""
LEASE_NS = "kube-node-lease"


class Rules:
    """The story's kubelet rules, shared by all its kubelets: ``first: n`` counts over the whole story."""

    def __init__(self, config: Obj) -> None:
        self.start_s = float(config.get("start_s", 1.0))
        self.stop_s = float(config.get("stop_s", 1.0))
        self._rules: list[Obj] = list(config.get("rules") or ())
        self._matched: dict[int, list[str]] = {}
        self._chosen: dict[str, Obj] = {}

    def of(self, pod: Obj) -> Obj:
        """Return the rule for ``pod``, chosen when it is first seen bound."""
        key = uid(pod)
        if key not in self._chosen:
            self._chosen[key] = self._choose(pod)
        return self._chosen[key]

    def _choose(self, pod: Obj) -> Obj:
        for index, rule in enumerate(self._rules):
            if not self._matches(rule.get("match") or {}, pod):
                continue
            taken = self._matched.setdefault(index, [])
            if "first" in rule and len(taken) >= rule["first"]:
                continue
            taken.append(uid(pod))
            return rule
        return {}

    @staticmethod
    def _matches(match: Obj, pod: Obj) -> bool:
        labels = pod["metadata"].get("labels") or {}
        notes = pod["metadata"].get("annotations") or {}
        if "image" in match and pod["spec"]["containers"][0].get("image") != match["image"]:
            return False
        if "name" in match and name(pod) != match["name"]:
            return False
        if any(labels.get(k) != v for k, v in (match.get("labels") or {}).items()):
            return False
        index = match.get("index")
        return index is None or notes.get("batch.kubernetes.io/job-completion-index") == str(index)


class StoryKubelet:
    """Leases, and the few status writes of the recorder's kubelet."""

    def __init__(self, rt: Runtime, servers: tuple[str, ...], node: str, rules: Rules, number: int) -> None:
        self._rt = rt
        self._node = node
        self._rules = rules
        self._client = Client(rt, servers)
        self.api = Session(self._client, KUBELET)
        self._informer = Informer(rt, self._client, "pods", KUBELET, fields=f"spec.nodeName={node}")
        self._seen: dict[str, str] = {}
        self._ip = number * 256
        self.stopped = False
        self._to_start: list[str] = []
        self._lease: Obj | None = None

    def start(self) -> None:
        """Renew the lease and follow the node's pods."""
        self._renew()
        self._informer.add_handler(self._pod_changed)
        self._informer.start()

    # -- the node ------------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        if not self.stopped:
            self._write_lease()
        self._rt.call_later(10.0, self._renew, background=True)

    def _write_lease(self) -> None:
        spec = {"holderIdentity": self._node, "leaseDurationSeconds": 40, "renewTime": micro(self._rt.wall())}
        body = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": self._node, "namespace": LEASE_NS}, "spec": spec,
        }  # fmt: skip

        def done(_: Obj | None, error: ApiError | None) -> None:
            if error is not None and error.reason == "NotFound":
                self._client.call(Request("create", "leases", LEASE_NS, body=body, identity=KUBELET), lambda *_: None)

        self._client.call(Request("update", "leases", LEASE_NS, self._node, body=body, identity=KUBELET), done)

    def power(self, on: bool) -> None:
        """Stop (no leases, nothing confirmed or started) or start again."""
        self.stopped = not on
        if not on:
            return
        self._write_lease()
        self._rt.spawn(self._return(), "node status")

    async def _return(self) -> None:
        """Report the node, then what became of its pods."""
        await self._report_ready()
        for pod in self._informer.values():
            if terminating(pod):
                self._rt.spawn(self._finish(pod, at_once=True), f"stop {name(pod)}")
            elif get(pod, "status", "phase") == "Running":
                self._rt.spawn(self._post_ready(pod), f"ready {name(pod)}")
            elif not ended(pod):
                self._later_start(pod)

    async def _report_ready(self) -> None:
        node = await self.api.get("nodes", "", self._node)
        now = stamp(self._rt.wall())
        conditions = get(node, "status", "conditions", default=[])
        for kind, status, reason in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
            ("Ready", "True", "KubeletReady"),
        ):
            conditions = set_condition(
                conditions, {"type": kind, "status": status, "reason": reason, "message": "", "lastHeartbeatTime": now}, now
            )
        await self.api.patch("nodes", "", self._node, {"status": {"conditions": conditions}}, patch_type="merge", subresource="status")

    # -- pods ----------------------------------------------------------------------------------------------------------

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        key = uid(new)
        if key not in self._seen:
            self._seen[key] = "bound"
            self._rules.of(new)
            if not terminating(new) and not ended(new):
                self._later_start(new)
        if terminating(new) and self._seen[key] != "stopping":
            self._seen[key] = "stopping"
            if not self.stopped:
                self._stop(new)

    def _later_start(self, pod: Obj) -> None:
        rule = self._rules.of(pod)
        delay = float(rule.get("start_s", self._rules.start_s))
        self._rt.call_later(delay, self._begin, uid(pod), f"{namespace(pod)}/{name(pod)}")

    def _current(self, key: str, pod_uid: str) -> Obj | None:
        pod = self._informer.get(key)
        return pod if pod is not None and uid(pod) == pod_uid else None

    def _begin(self, pod_uid: str, key: str) -> None:
        pod = self._current(key, pod_uid)
        if self.stopped or pod is None or terminating(pod) or ended(pod) or get(pod, "status", "phase") == "Running":
            return
        rule = self._rules.of(pod)
        if rule.get("never_start"):
            statuses = [
                {"name": c["name"], "image": c.get("image", ""), "ready": False, "restartCount": 0,
                 "state": {"waiting": {"reason": "ImagePullBackOff"}}}
                for c in pod["spec"]["containers"]
            ]  # fmt: skip
            unready = {"status": "False", "reason": "ContainersNotReady"}
            conditions: list[Obj] = [
                {"type": "PodReadyToStartContainers", "status": "True"}, {"type": "Initialized", "status": "True"},
                {"type": "Ready", **unready}, {"type": "ContainersReady", **unready},
            ]  # fmt: skip
            self._rt.spawn(self._write(pod, {"phase": "Pending", "containerStatuses": statuses}, conditions), f"start {key}")
            return
        self._rt.spawn(self._run(pod, rule), f"start {key}")

    async def _run(self, pod: Obj, rule: Obj) -> None:
        ready = rule.get("ready", True)
        if "exit_after_s" in rule:
            self._rt.call_later(float(rule["exit_after_s"]), self._exit, uid(pod), f"{namespace(pod)}/{name(pod)}", 0)
        self._ip += 1
        address = f"10.{64 + self._ip // 65536}.{self._ip // 256 % 256}.{self._ip % 256}"
        now = stamp(self._rt.wall())
        status = {
            "phase": "Running", "startTime": now, "podIP": address, "podIPs": [{"ip": address}],
            "containerStatuses": self._statuses(pod, ready, 0, {"running": {"startedAt": now}}),
        }  # fmt: skip
        flag = "True" if ready else "False"
        unready = {} if ready else {"reason": "ContainersNotReady"}
        await self._write(pod, status, [
            {"type": "PodReadyToStartContainers", "status": "True"}, {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": flag, **unready}, {"type": "ContainersReady", "status": flag, **unready},
        ])  # fmt: skip

    @staticmethod
    def _statuses(pod: Obj, ready: bool, restarts: int, state: Obj) -> list[Obj]:
        return [
            {"name": c["name"], "image": c.get("image", ""), "ready": ready, "started": ready, "restartCount": restarts,
             "state": state}
            for c in pod["spec"]["containers"]
        ]  # fmt: skip

    def _exit(self, pod_uid: str, key: str, restarts: int) -> None:
        pod = self._current(key, pod_uid)
        if self.stopped or pod is None or ended(pod) or self._seen.get(pod_uid) == "gone":
            return
        rule = self._rules.of(pod)
        code = int(rule.get("exit_code", 0))
        policy = pod["spec"].get("restartPolicy", "Always")
        now = stamp(self._rt.wall())
        ended_state = {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": now}}
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            phase = "Succeeded" if code == 0 else "Failed"
            reason = "PodCompleted" if code == 0 else "PodFailed"
            status = {"phase": phase, "containerStatuses": self._statuses(pod, False, restarts, ended_state)}
            conditions = [{"type": t, "status": "False", "reason": reason} for t in ("Ready", "ContainersReady")]
            conditions.append({"type": "PodReadyToStartContainers", "status": "False"})
            if code == 0:
                conditions.append({"type": "Initialized", "status": "True", "reason": "PodCompleted"})
            self._rt.spawn(self._write(pod, status, conditions), f"exit {key}")
            return
        status = {"containerStatuses": self._statuses(pod, False, restarts + 1, ended_state)}
        conditions = [{"type": t, "status": "False", "reason": "ContainersNotReady"} for t in ("Ready", "ContainersReady")]
        self._rt.spawn(self._write(pod, status, conditions), f"exit {key}")
        self._rt.call_later(float(rule.get("restart_s", 1.0)), self._restart, pod_uid, key, restarts + 1)

    def _restart(self, pod_uid: str, key: str, restarts: int) -> None:
        pod = self._current(key, pod_uid)
        if self.stopped or pod is None or terminating(pod):
            return
        state = {"running": {"startedAt": stamp(self._rt.wall())}}
        status = {"containerStatuses": self._statuses(pod, True, restarts, state)}
        conditions = [{"type": t, "status": "True"} for t in ("Ready", "ContainersReady")]
        self._rt.spawn(self._write(pod, status, conditions), f"restart {key}")
        self._rt.call_later(float(self._rules.of(pod)["exit_after_s"]), self._exit, pod_uid, key, restarts)

    def _stop(self, pod: Obj) -> None:
        if ended(pod) or get(pod, "status", "phase") != "Running":
            self._rt.spawn(self._finish(pod, at_once=True), f"stop {name(pod)}")
            return
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
        stop_s = float(self._rules.of(pod).get("stop_s", self._rules.stop_s))
        self._rt.call_later(min(stop_s, grace), self._stopped_now, f"{namespace(pod)}/{name(pod)}", uid(pod))

    def _stopped_now(self, key: str, pod_uid: str) -> None:
        pod = self._current(key, pod_uid)
        if pod is not None and not self.stopped:
            self._rt.spawn(self._finish(pod, at_once=False), f"stop {key}")

    async def _finish(self, pod: Obj, at_once: bool) -> None:
        self._seen[uid(pod)] = "gone"
        if not ended(pod):
            now = stamp(self._rt.wall())
            state = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now}}
            status: Obj = {"phase": "Failed"}
            if get(pod, "status", "phase") == "Running":
                status["containerStatuses"] = self._statuses(pod, False, 0, state)
            conditions = [{"type": t, "status": "False", "reason": "PodFailed"} for t in ("Ready", "ContainersReady")]
            await self._write(pod, status, conditions)
        try:
            await self.api.delete("pods", namespace(pod), name(pod), uid=uid(pod), grace_period_seconds=0)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    async def _post_ready(self, pod: Obj) -> None:
        ready = self._rules.of(pod).get("ready", True)
        if ready:
            await self._write(pod, {}, [{"type": t, "status": "True"} for t in ("Ready", "ContainersReady")])

    async def set_ready(self, pod: Obj, ready: bool) -> None:
        """Write Ready and ContainersReady, as the story's set-pod step does."""
        flag = {"status": "True"} if ready else {"status": "False", "reason": "ContainersNotReady"}
        await self._write(pod, {}, [{"type": t, **flag} for t in ("Ready", "ContainersReady")])

    async def _write(self, pod: Obj, status: Obj, conditions: list[Obj]) -> None:
        """Write a pod's status; conditions that others own are kept. Lost if the pod is gone."""
        fresh: Obj | None = self._informer.get(f"{namespace(pod)}/{name(pod)}")
        for attempt in range(5):
            try:
                if fresh is None or attempt:
                    fresh = await self.api.get("pods", namespace(pod), name(pod))
            except ApiError as error:
                if error.reason == "NotFound":
                    return
                raise
            if uid(fresh) != uid(pod):
                return
            now = stamp(self._rt.wall())
            merged: list[Any] = list(get(fresh, "status", "conditions", default=()))
            for one in conditions:
                merged = set_condition(merged, {"lastProbeTime": None, **one}, now)
            body = put(fresh, {**fresh["status"], **status, "conditions": merged}, "status")
            try:
                await self.api.update("pods", body, "status")
                return
            except ApiError as error:
                if error.reason == "NotFound":
                    return
                if error.reason != "Conflict":
                    raise
