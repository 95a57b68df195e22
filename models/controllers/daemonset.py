"""DaemonSet: the shell around the decision.

pkg/controller/daemon/daemon_controller.go, update.go. Failed pods are deleted at once the first time and then with a back-off per node
of 1 s doubling to 15 minutes.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.hash import pod_template_hash, revision_data
from kchaos.models.api.pods import (
    available,
    controller_of,
    ended,
    labels,
    name,
    namespace,
    notes_of,
    owner_reference,
    phase,
    ready,
    terminating,
    uid,
)
from kchaos.models.api.request import Request
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers import history
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.daemonset_decide import (
    GENERATION_LABEL,
    GENERATION_NOTE,
    excess,
    failed,
    for_node,
    roll,
    should_run,
    status_of,
    target_of,
    with_tolerations,
)
from kchaos.models.controllers.expectations import Expectations
from kchaos.models.controllers.history import LABEL, ordered
from kchaos.models.controllers.ownership import claim
from kchaos.models.controllers.podcontrol import Answer, all_of, pod_from_template, slow_start

BURST = 250
BACKOFF_S = (1.0, 900.0)
_Verdict = tuple[bool, bool]


class DaemonSetController(Controller):
    """The shell."""

    name = "daemon-set-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._sets = ctx.in_namespace("daemonsets")
        self._pods = ctx.owned("pods")
        self._pods.add_index("orphan", lambda pod: (namespace(pod),) if controller_of(pod) is None else ())
        self._pods.add_index("daemon", self._on_node)
        self._revisions = history.informer(ctx)
        self._nodes = ctx.informer("nodes")
        self._expect = Expectations(ctx.rt)
        self._backoff: dict[str, tuple[float, float]] = {}
        self._verdicts: dict[str, tuple[Obj, dict[str, tuple[object, object, _Verdict]]]] = {}
        self._queue = ctx.queue(self.name, self._sync, workers=2)

    def start(self) -> None:
        """Watch sets, their pods, and nodes."""
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)
        self._queue.start()

    # -- events ------------------------------------------------------------------------------------------------------

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        if new is None:
            self._expect.forget(key_of(obj))
            self._verdicts.pop(uid(obj), None)
        self._queue.add(key_of(obj))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        ref = controller_of(pod)
        if ref is None:
            if new is not None and (old is None or labels(old) != labels(new) or controller_of(old) is not None):
                for owner in self._sets.by("namespace", namespace(new)):
                    if compile_selector(owner["spec"].get("selector"))(labels(new)):
                        self._queue.add(key_of(owner))
            return
        if ref["kind"] != "DaemonSet":
            return
        key = f"{namespace(pod)}/{ref['name']}"
        if new is None or terminating(new):
            self._expect.deletion_seen(key, uid(pod))
        elif old is None:
            self._expect.creation_seen(key)
        self._queue.add(key)
        owner_now = self._sets.get(key)
        wait = owner_now["spec"].get("minReadySeconds", 0) if owner_now is not None else 0
        if wait and new is not None and ready(new) and (old is None or not ready(old)):
            self._queue.add_after(key, wait + 1)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Look only at what must be made or deleted on a node now (syncNodeUpdate); a node that goes is not looked at."""
        if new is None or (old is not None and self._node_facts(old) == self._node_facts(new)):
            return
        for owner in self._sets.values():
            wanted, stays = should_run(self._template(owner), new)
            present = bool(self._pods.by("daemon", f"{uid(owner)}/{name(new)}"))
            if (wanted and not present) or (present and not stays):
                self._queue.add(key_of(owner))

    @staticmethod
    def _on_node(pod: Obj) -> tuple[str, ...]:
        ref = controller_of(pod)
        return (f"{ref['uid']}/{target_of(pod)}",) if ref is not None and ref["kind"] == "DaemonSet" else ()

    @staticmethod
    def _node_facts(node: Obj) -> tuple[object, object]:
        return labels(node), node["spec"].get("taints")

    # -- sync --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _template(owner: Obj) -> Obj:
        return with_tolerations(owner["spec"]["template"]["spec"])

    def _where(self, owner: Obj) -> dict[str, _Verdict]:
        """Return node -> (should run, may stay); verdicts on nodes and sets that did not change are remembered."""
        template = owner["spec"]["template"]
        found = self._verdicts.get(uid(owner))
        if found is None or (found[0] is not template and found[0] != template):
            found = self._verdicts[uid(owner)] = (template, {})
        spec = self._template(owner)
        out: dict[str, _Verdict] = {}
        for key, node in self._nodes.items.items():
            marks, body = node["metadata"].get("labels"), node["spec"]
            known = found[1].get(key)
            if known is None or known[0] is not marks or known[1] is not body:
                known = found[1][key] = (marks, body, should_run(spec, node))
            out[key] = known[2]
        return out

    async def _sync(self, key: str) -> None:
        owner = self._sets.get(key)
        if owner is None or terminating(owner):
            return
        current, old = await self._history(owner)
        digest = labels(current)[LABEL]
        where = self._where(owner)
        pods, by_node = await self._nodes_to_pods(owner)
        failure: ApiError | None = None
        acted = self._expect.satisfied(key)
        if acted:
            failure = await self._manage(key, owner, where, by_node, digest)
            if failure is None and self._expect.satisfied(key):
                pods, by_node = await self._nodes_to_pods(owner)  # looked up anew (rollingUpdate): pods that were just made count
                if get(owner, "spec", "updateStrategy", "type") == "RollingUpdate":
                    desired = sum(1 for wanted, _ in where.values() if wanted)
                    doomed, nodes = roll(owner, by_node, digest, desired, self.rt.wall())
                    failure = await self._apply(key, owner, digest, nodes, doomed)
                await self._clean(owner, old, pods)
        await self._write_status(owner, where, by_node, digest, acted)
        if failure is not None:
            raise failure

    async def _nodes_to_pods(self, owner: Obj) -> tuple[list[Obj], dict[str, list[Obj]]]:
        """Return the pods of a set, all and by the node that they are on or for (getNodesToDaemonPods)."""
        fits = compile_selector(owner["spec"].get("selector"))
        candidates = [*self._pods.by("controller", uid(owner)), *self._pods.by("orphan", namespace(owner))]
        pods = await claim(self.api, "daemonsets", owner, "pods", candidates, fits)
        by_node: dict[str, list[Obj]] = {}
        for pod in pods:
            if not (ended(pod) and terminating(pod)) and target_of(pod):
                by_node.setdefault(target_of(pod), []).append(pod)
        return pods, by_node

    async def _manage(
        self, key: str, owner: Obj, where: dict[str, _Verdict], by_node: dict[str, list[Obj]], digest: str
    ) -> ApiError | None:
        create: list[str] = []
        doomed: list[Obj] = []
        for node, (wanted, stays) in where.items():
            pods = by_node.get(node)
            if not pods:
                if wanted:
                    create.append(node)
            elif not stays:
                doomed += [pod for pod in pods if not terminating(pod)]
            else:
                running: list[Obj] = []
                for pod in pods:
                    if terminating(pod):
                        continue
                    if failed(pod):
                        if self._may_retry(key, owner, node):
                            text = f"Found failed daemon pod {key_of(pod)} on node {node}, will try to kill it"
                            self.event(owner, "Warning", "FailedDaemonPod", text)
                            doomed.append(pod)
                    elif phase(pod) == "Succeeded":
                        text = f"Found succeeded daemon pod {key_of(pod)} on node {node}, will try to delete it"
                        self.event(owner, "Normal", "SucceededDaemonPod", text)
                        doomed.append(pod)
                    else:
                        running.append(pod)
                doomed += excess(owner, running, digest, self.rt.wall())
        for node, pods in by_node.items():  # pods for nodes that are gone before they were bound
            if node not in where:
                doomed += [pod for pod in pods if not pod["spec"].get("nodeName") and not terminating(pod)]
        return await self._apply(key, owner, digest, create, doomed)

    def _may_retry(self, key: str, owner: Obj, node: str) -> bool:
        """Tell whether a failed pod's back-off is over, and begin the next; otherwise look again when it is."""
        mark = f"{uid(owner)}/{owner['metadata'].get('generation', 1)}/{node}"
        now = self.rt.now()
        since, wait = self._backoff.get(mark, (now, 0.0))
        if now - since > 2 * BACKOFF_S[1]:
            wait = 0.0
        left = since + wait - now
        if left > 1e-6:  # less is what rounding leaves: a wait that short would never end
            self._queue.add_after(key, left)
            return False
        self._backoff[mark] = (now, min(BACKOFF_S[1], wait * 2 or BACKOFF_S[0]))
        return True

    async def _apply(self, key: str, owner: Obj, digest: str, nodes: list[str], doomed: list[Obj]) -> ApiError | None:
        """Make pods on ``nodes`` and delete ``doomed`` (syncNodes)."""
        nodes, doomed = nodes[:BURST], doomed[:BURST]
        if not nodes and not doomed:
            return None
        self._expect.expect_creations(key, len(nodes))
        self._expect.expect_deletions(key, [uid(pod) for pod in doomed])
        template = put(owner["spec"]["template"], self._template(owner), "spec")
        marks = {GENERATION_LABEL: notes_of(owner).get(GENERATION_NOTE, "1"), LABEL: digest}
        template = put(template, {**(get(template, "metadata", "labels", default={})), **marks}, "metadata", "labels")
        body = pod_from_template(template, owner_reference(owner), name(owner) + "-")
        space = namespace(owner)
        creates = [
            Request("create", "pods", space, body={**body, "spec": for_node(body["spec"], node)}, identity=self.api.identity)
            for node in nodes
        ]
        answered = 0

        def created(_: int, answer: Answer) -> None:
            nonlocal answered
            answered += 1
            obj, error = answer
            if obj is not None:
                self.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name(obj)}")
            else:
                assert error is not None
                if error.reason != "Timeout":
                    self._expect.creation_seen(key)
                self.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")

        _, failure = await slow_start(self.rt, self.api, creates, created)
        for _ in range(len(creates) - answered):
            self._expect.creation_seen(key)
        if failure is not None and failure.reason == "Forbidden" and "because it is being terminated" in failure.message:
            failure = None
        failures = [failure] if failure is not None else []

        def deleted(index: int, answer: Answer) -> None:
            pod, error = doomed[index], answer[1]
            if error is None:
                self.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")
                return
            self._expect.deletion_seen(key, uid(pod))
            if error.reason != "NotFound":
                self.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
                failures.append(error)

        deletes = [
            Request("delete", "pods", space, name(pod), options={"preconditions": {"uid": uid(pod)}}, identity=self.api.identity)
            for pod in doomed
        ]
        await all_of(self.rt, self.api, deletes, deleted)
        return failures[0] if failures else None

    # -- history -----------------------------------------------------------------------------------------------------

    async def _history(self, owner: Obj) -> tuple[Obj, list[Obj]]:
        """Return the revision of the present template, made or renumbered if need be, and the others (constructHistory)."""
        data = revision_data(owner)
        revisions = await history.owned(self.api, owner, "daemonsets", self._revisions)
        same = [one for one in revisions if one["data"] == data]
        old = [one for one in revisions if one["data"] != data]
        number = max((one["revision"] for one in old), default=0) + 1
        if not same:
            return await self._snapshot(owner, data, number), old
        current = ordered(same)[-1]
        if current["revision"] < number:
            current = await self.api.update("controllerrevisions", put(current, number, "revision"))
        return current, old

    async def _snapshot(self, owner: Obj, data: Obj, number: int) -> Obj:
        digest = pod_template_hash(owner["spec"]["template"], get(owner, "status", "collisionCount"))
        meta: Obj = {
            "name": f"{name(owner)}-{digest}", "namespace": namespace(owner), "ownerReferences": [owner_reference(owner)],
            "labels": {**get(owner, "spec", "template", "metadata", "labels", default={}), LABEL: digest},
            "annotations": dict(notes_of(owner)),
        }  # fmt: skip
        body = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": data, "revision": number}
        try:
            return await self.api.create("controllerrevisions", namespace(owner), body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            found = await self.api.get("controllerrevisions", namespace(owner), meta["name"])
            if found["data"] == data:
                return found
            status = {**(owner.get("status") or {}), "collisionCount": (get(owner, "status", "collisionCount") or 0) + 1}
            await self.api.update("daemonsets", {**owner, "status": status}, "status")
            raise

    async def _clean(self, owner: Obj, old: list[Obj], pods: list[Obj]) -> None:
        excess_count = len(old) - int(owner["spec"].get("revisionHistoryLimit", 10))
        live = {labels(pod).get(LABEL): None for pod in pods}
        for one in ordered(old):
            if excess_count <= 0:
                return
            if labels(one).get(LABEL) not in live:
                await self.api.delete("controllerrevisions", namespace(one), name(one))
                excess_count -= 1

    # -- status ------------------------------------------------------------------------------------------------------

    async def _write_status(
        self, owner: Obj, where: dict[str, _Verdict], by_node: dict[str, list[Obj]], digest: str, observed: bool
    ) -> None:
        wall = self.rt.wall()
        status = status_of(owner, [(node, wanted) for node, (wanted, _) in where.items()], by_node, digest, wall, observed)
        if status != (owner.get("status") or {}):
            try:
                await self.api.update("daemonsets", {**owner, "status": status}, "status")
            except ApiError as error:
                if error.reason == "NotFound":
                    return
                if error.reason != "Conflict":
                    raise
                fresh = await self.api.get("daemonsets", namespace(owner), name(owner))
                await self.api.update("daemonsets", {**fresh, "status": status}, "status")
        wait = owner["spec"].get("minReadySeconds", 0)
        if wait and any(ready(pod) and not available(pod, wait, wall) for pods in by_node.values() for pod in pods):
            self._queue.add_after(key_of(owner), wait)
