"""What users do to single objects: apply, patch, scale, delete. It stays: nothing is put back at healing.

These need more than a target (an object, a patch, a number), so the sweep leaves them alone: scenarios and state machines name them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kchaos.errors import InvalidScenario
from kchaos.models.api.errors import ApiError
from kchaos.models.api.resources import Resource, by_kind
from kchaos.models.api.tree import Obj
from kchaos.models.cluster import Cluster
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Evidence, Kind

KLASS = "user"
RESIZE = ("delete", "scale")
"""What takes pods of a workload away because somebody wants it so."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where kubectl keeps what it applied last (k8s.io/kubectl/pkg/util/apply.go): fields that are gone since then are removed."""


def ident(obj: Obj) -> str:
    """Return an object as a target: ``ConfigMap/default/app``, or ``Namespace/shop``."""
    meta = obj["metadata"]
    resource = by_kind(obj["apiVersion"], obj["kind"])
    space = f"{meta.get('namespace', 'default')}/" if resource is None or resource.namespaced else ""
    return f"{obj['kind']}/{space}{meta['name']}"


def place(target: str) -> tuple[Resource, str, str]:
    """Return (resource, namespace, name) of a target. Raises InvalidScenario for text of another form."""
    kind, _, rest = target.partition("/")
    resource = by_kind(None, kind)
    if resource is None:
        raise InvalidScenario(f"no kind {kind!r} in {target!r}", hint="write Kind/namespace/name, such as ConfigMap/default/app")
    space, _, name = rest.rpartition("/")
    if not name or "/" in space or bool(space) != resource.namespaced:
        hint = f"write {kind}/namespace/name" if resource.namespaced else f"write {kind}/name"
        raise InvalidScenario(f"not an object: {target!r}", hint=hint)
    return resource, space, name


class Asked:
    """One thing that the user asks about one object, refused or not. ``answered``: the last answer has come."""

    def __init__(self, cluster: Cluster, what: str, target: str) -> None:
        self.cluster = cluster
        self.what = what
        self.target = target
        self.resource, self.space, self.name = place(target)
        self.changed = 0
        self.answered = False

    def begin(self, request: Callable[[], Awaitable[bool]], **data: Any) -> None:
        """Send it; ``request`` tells whether anything was changed."""
        self.cluster.recorder.mark("operation", what=self.what, target=self.target, state="begun", **data)
        self.cluster.user.client._rt.spawn(self._ask(request), f"{self.what} {self.target}")

    async def _ask(self, request: Callable[[], Awaitable[bool]]) -> None:
        try:
            self.changed += await request()
        except ApiError as error:
            self.cluster.recorder.mark("operation", what=self.what, target=self.target, state="refused", why=error.message)
        self.answered = True

    def undo(self) -> None:
        """It stays."""

    def evidence(self) -> Evidence:
        """Return how many objects it has changed."""
        return {"objects_changed": self.changed}


class _Apply(Asked):
    """`kubectl apply`: create the object, or patch what is there so that it becomes as the manifest says."""

    def __init__(self, cluster: Cluster, target: str, obj: Obj) -> None:
        super().__init__(cluster, "apply", target)
        meta = {**obj["metadata"], **({"namespace": self.space} if self.space else {})}
        wanted = {key: value for key, value in {**obj, "metadata": meta}.items() if key != "status"}
        note = json.dumps(wanted, separators=(",", ":"), sort_keys=True)
        self._wanted = wanted
        self._noted = {**wanted, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), LAST_APPLIED: note}}}
        self.begin(self._run)

    async def _run(self) -> bool:
        user = self.cluster.user
        try:
            current = await user.get(self.resource.plural, self.space, self.name)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            await user.create(self.resource.plural, self.space, self._noted)
            return True
        before = (current["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        gone = _gone(json.loads(before), self._wanted) if before is not None else {}
        after = await user.patch(self.resource.plural, self.space, self.name, _laid(self._noted, gone))
        return bool(after["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"])


def _gone(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that removes the fields of ``before`` that ``wanted`` no longer has; lists are left to the patch itself."""
    out: dict[str, Any] = {}
    for key, value in before.items():
        if key not in wanted:
            out[key] = None
        elif isinstance(value, dict) and isinstance(wanted[key], dict) and (below := _gone(value, wanted[key])):
            out[key] = below
    return out


def _laid(patch: Mapping[str, Any], gone: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch with the removals of another in it."""
    out = dict(patch)
    for key, value in gone.items():
        out[key] = _laid(out[key], value) if isinstance(value, dict) else None
    return out


class _Patch(Asked):
    """`kubectl patch --type=merge`."""

    def __init__(self, cluster: Cluster, target: str, body: Obj) -> None:
        super().__init__(cluster, "patch", target)
        self._body = body
        self.begin(self._run)

    async def _run(self) -> bool:
        await self.cluster.user.patch(self.resource.plural, self.space, self.name, self._body, patch_type="merge")
        return True


class _ScaleTo(Asked):
    """`kubectl scale --replicas`."""

    def __init__(self, cluster: Cluster, target: str, replicas: int) -> None:
        super().__init__(cluster, "scale", target)
        self._replicas = replicas
        self.begin(self._run, replicas=replicas)

    async def _run(self) -> bool:
        body = {"spec": {"replicas": self._replicas}}
        await self.cluster.user.patch(self.resource.plural, self.space, self.name, body, patch_type="merge", subresource="scale")
        return True


class _Delete(Asked):
    """`kubectl delete`, in the background; ``grace_s``: for pods, -1 is their own."""

    def __init__(self, cluster: Cluster, target: str, grace_s: int) -> None:
        super().__init__(cluster, "delete", target)
        self._grace_s = grace_s if grace_s >= 0 else None
        self.begin(self._run)

    async def _run(self) -> bool:
        await self.cluster.user.delete(self.resource.plural, self.space, self.name, grace_period_seconds=self._grace_s)
        return True


class _Taint(Asked):
    """`kubectl taint nodes`: one taint more, in the place of one with the same key and effect."""

    def __init__(self, cluster: Cluster, target: str, taint: Obj) -> None:
        super().__init__(cluster, "taint", target)
        self._taint = taint
        self.begin(self._run)

    async def _run(self) -> bool:
        user, mine = self.cluster.user, (self._taint.get("key"), self._taint.get("effect"))
        node = await user.get(self.resource.plural, self.space, self.name)
        taints = [one for one in node["spec"].get("taints") or () if (one["key"], one["effect"]) != mine]
        seen = {"resourceVersion": node["metadata"]["resourceVersion"]}
        body = {"metadata": seen, "spec": {"taints": [*taints, self._taint]}}
        await user.patch(self.resource.plural, self.space, self.name, body, patch_type="merge")
        return True


def _kind(name: str, summary: str, target: str, inject: Callable[[Cluster, dict[str, Any]], Any], *arguments: Argument) -> Kind[Cluster]:
    return Kind(
        name=name, summary=summary, klass=KLASS, target=target, planned=True, operation=True, level1=False, evidence="objects changed",
        inject=inject, arguments=arguments,
    )  # fmt: skip


KINDS = (
    _kind("apply", "an object is applied, as kubectl does it; it stays", "object",
          lambda cluster, args: _Apply(cluster, args["target"], args["object"]), Argument("object", {}, tree=True, required=True)),
    _kind("patch", "an object is changed by a merge patch; it stays", "object",
          lambda cluster, args: _Patch(cluster, args["target"], args["patch"]), Argument("patch", {}, tree=True, required=True)),
    _kind("delete", "an object is deleted; it stays away", "object",
          lambda cluster, args: _Delete(cluster, args["target"], args["grace_s"]),
          Argument("grace_s", -1, low=-1, whole=True, usual=(0, 60))),
    _kind("taint", "a node gets a taint, as kubectl sets it; it stays", "object",
          lambda cluster, args: _Taint(cluster, args["target"], args["taint"]), Argument("taint", {}, tree=True, required=True)),
    _kind("scale", "a workload gets that many replicas, and keeps them", "workload",
          lambda cluster, args: _ScaleTo(cluster, args["target"], args["replicas"]),
          Argument("replicas", 2, whole=True, usual=(0, 5), required=True)),
)  # fmt: skip
