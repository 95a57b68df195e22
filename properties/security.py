"""Authentication, authorisation and admission: what the audit tells of ordinary users' requests, against roles, bindings and writes.

The history has a mark ``audit`` for each request of a user who is neither an administrator nor a component of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.quantity import milli
from kchaos.models.api.tree import get
from kchaos.models.security.bootstrap import bootstrap_objects
from kchaos.properties.api_machinery import everywhere_bound
from kchaos.properties.common import Obj, declare, folded, ident
from kchaos.properties.rights import Rights

REVOKED_S = 1.0
"""So long after a revocation an API server may still grant (its caches of roles trail by milliseconds)."""
ROLES = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
_ENFORCE = "pod-security.kubernetes.io/enforce"
Writes = Mapping[str, Callable[[Write], Iterable[Violation]]]
Marks = Mapping[str, Callable[[Mark], Iterable[Violation]]]


def _asked(mark: Mark) -> str:
    data = mark.data
    where = f" in {data['namespace']}" if data["namespace"] else ""
    return f"{data['user']}: {data['verb']} {data['resource']} {data['name']}".rstrip() + where


class _InOrder(BaseMonitor):
    """What was refused on the way is not written, and what an ordinary user wrote was served."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._last: dict[str, Write] = {}
        self._users: dict[str, str] = {}

    def writes(self) -> Writes:
        return everywhere_bound(self._written)

    def marks(self) -> Marks:
        return {"audit": self._audited}

    def _written(self, entry: Write) -> Iterable[Violation]:
        self._last[entry.actor] = entry
        return ()

    def _audited(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        write = self._last.pop(data["actor"], None)
        self._users[data["actor"]] = data["user"]
        if write is not None and data["code"] in (401, 403) and write.t == mark.t:
            text = f"{_asked(mark)} was refused with {data['code']} at {data['stage']}, and {write.resource} {write.key} is written"
            yield Violation(t=mark.t, object=ident(write.obj), summary=text, root="written")
        if data["code"] < 400 and data["stage"] != "complete":
            text = f"{_asked(mark)} was answered at {data['stage']}"
            yield Violation(t=mark.t, object=f"User/{data['user']}", summary=text, root="stage")

    def finish(self, t: float) -> Iterable[Violation]:
        for actor, write in self._last.items():
            if actor in self._users:
                text = f"{self._users[actor]} wrote it, and no audit entry tells of that"
                yield Violation(t=write.t, object=ident(write.obj), summary=text, root="unseen")


def _builtin() -> dict[str, dict[str, Obj]]:
    out: dict[str, dict[str, Obj]] = {kind: {} for kind in ROLES}
    for kind, obj in bootstrap_objects():
        meta = obj["metadata"]
        out[kind][f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]] = obj
    return out


class _Judging(BaseMonitor):
    """Base of those that compare with the rights as stored: the cluster's own roles and those of the history."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own: dict[str, dict[str, Obj]] = {}
        self._undone: Write | None = None

    def _table(self, kind: str) -> Mapping[str, Obj]:
        if not self._own:
            self._own = _builtin()
        table = {**self._own[kind], **self.context.view.table(kind)}
        write = self._undone
        if write is not None and write.resource == kind:
            table.pop(write.key, None)
            if write.prev is not None:
                table[write.key] = write.prev
        return table

    def rights(self, before: Write | None = None) -> Rights:
        """Return who may what now, or was allowed before a write."""
        self._undone = before
        return Rights(self._table)


class _NoEscalation(_Judging):
    """A role or binding gives no more than its author had; roleRef stays."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._last: Write | None = None

    def writes(self) -> Writes:
        return dict.fromkeys(ROLES, self._written)

    def marks(self) -> Marks:
        return {"audit": self._audited}

    def _written(self, entry: Write) -> Iterable[Violation]:
        self._last = entry
        if entry.type == "MODIFIED" and entry.prev is not None and entry.prev.get("roleRef") != entry.obj.get("roleRef"):
            yield Violation(t=entry.t, object=ident(entry.obj), summary=f"{entry.actor} changed its roleRef", root="roleRef")

    def _audited(self, mark: Mark) -> Iterable[Violation]:
        write, data = self._last, mark.data
        self._last = None
        if (
            write is None
            or write.actor != data["actor"]
            or write.t != mark.t
            or write.type == "DELETED"
            or write.resource != data["resource"]
        ):
            return
        path = data["name"]
        space = write.obj["metadata"].get("namespace", "")
        if not self.rights(write).may_write(data["user"], data["groups"], write.resource, space, path, write.obj, write.prev):
            text = f"{data['user']} gave away more than it held: it may neither do all of this nor escalate or bind"
            yield Violation(t=mark.t, object=ident(write.obj), summary=text, root="escalation")


class _Granted(_Judging):
    """What is served has been granted; a revocation is effective within a second."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._changed_s = float("-inf")

    def writes(self) -> Writes:
        return dict.fromkeys(ROLES, self._written)

    def marks(self) -> Marks:
        return {"audit": self._audited}

    def _written(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "ADDED":
            self._changed_s = entry.t
        return ()

    def _audited(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        if data["code"] >= 400 or mark.t - self._changed_s <= REVOKED_S:
            return
        asked = (data["verb"], data["group"], data["resource"], data["namespace"], data["name"])
        if not self.rights().may(data["user"], data["groups"], *asked):
            text = f"{_asked(mark)} was served, and no role that it holds allows that"
            yield Violation(t=mark.t, object=f"User/{data['user']}", summary=text, root="not granted")


# -- admission -------------------------------------------------------------------------------------------------------------


def _baseline(spec: Obj) -> Iterable[str]:
    yield from (f"{field}" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    yield from (f"a volume of the host ({one['name']})" for one in spec.get("volumes") or () if one.get("hostPath"))
    for one in (*(spec.get("initContainers") or ()), *spec.get("containers", ())):
        if get(one, "securityContext", "privileged"):
            yield f"a privileged container ({one['name']})"
        if any(port.get("hostPort") for port in one.get("ports") or ()):
            yield f"a port of the host ({one['name']})"


def _restricted(spec: Obj) -> Iterable[str]:
    for one in (*(spec.get("initContainers") or ()), *spec.get("containers", ())):
        if get(one, "securityContext", "allowPrivilegeEscalation") is not False and get(spec, "os", "name") != "windows":
            yield f"privilege escalation ({one['name']})"
        if not (get(one, "securityContext", "runAsNonRoot", default=get(spec, "securityContext", "runAsNonRoot"))):
            yield f"root ({one['name']})"


def _pods(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "ADDED":
        return
    space = entry.obj["metadata"].get("namespace", "")
    spec = entry.obj["spec"]
    level = get(context.view.get("namespaces", space), "metadata", "labels", _ENFORCE)
    wrong = list(_baseline(spec)) if level in ("baseline", "restricted") else []
    wrong += list(_restricted(spec)) if level == "restricted" else []
    if wrong:
        text = f"namespace {space} enforces {level}, and the pod was taken with {', '.join(wrong)}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="pod security")
    for key, limits in context.view.table("limitranges").items():
        if key.startswith(space + "/"):
            for limit in limits["spec"].get("limits") or ():
                yield from _bounds(entry, limit, spec)


def _bounds(entry: Write, limit: Obj, spec: Obj) -> Iterable[Violation]:
    if limit.get("type") != "Container":
        return
    for one in spec.get("containers", ()):
        for name, most in (limit.get("max") or {}).items():
            mine = get(one, "resources", "limits", name)
            if mine is None or milli(mine) > milli(most):
                text = f"container {one['name']} was taken with {name} limit {mine}, and at most {most} are allowed"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="limits")


def _nodes(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "MODIFIED" or entry.actor != "kubelet" or entry.prev is None:
        return
    if (get(entry.prev, "spec", "taints") or []) != (get(entry.obj, "spec", "taints") or []):
        yield Violation(t=entry.t, object=ident(entry.obj), summary="a kubelet changed the taints of a Node", root="node restriction")


_DOCS = "https://kubernetes.io/docs/reference/access-authn-authz/"
PROPERTIES = (
    declare("KC055", "55", "requests-in-order",
            "No request is served before authentication, authorisation and admission: what one of them refused is not written,"
            " and the audit sees every write.",
            "https://kubernetes.io/docs/concepts/security/controlling-access/", _InOrder),
    declare("KC056", "56", "no-escalation",
            "Nobody creates or widens a role past what they hold without escalate, nor binds past it without bind; roleRef never changes.",
            _DOCS + "rbac/#privilege-escalation-prevention-and-bootstrapping", _NoEscalation),
    declare("KC057", "57", "granted-only",
            f"Every request that is served was allowed by a role that the user holds; a revocation is effective within {REVOKED_S:g} s.",
            _DOCS + "rbac/", _Granted),
    declare("KC058", "58", "admission-holds",
            "Pods keep the level that their namespace enforces and the maxima of its LimitRanges; kubelets leave taints alone.",
            _DOCS + "admission-controllers/", folded({"pods": _pods, "nodes": _nodes})),
)  # fmt: skip
