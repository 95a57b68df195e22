"""API calls of an application's pods: allowed by the roles of their service account, and answered again after a fault.

What is refused is told with the cause (no binding, another namespace, another verb or group, a role that is not there) and with the
smallest rule that would allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from kchaos.check.property import Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark, Write
from kchaos.properties.common import Obj, declare, workload_of
from kchaos.properties.disruption import Handlers, UnderFaults, fault_words

TOLD_S = 15.0
"""Shorter silence is not told: clients ask again."""
ACCOUNTS = "system:serviceaccounts"


class Asked(NamedTuple):
    """One call of a workload. ``resource`` with its subresource; an empty ``namespace`` is the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in namespace {self.namespace}" if self.namespace else " in the whole cluster"
        return f"{self.verb} {resource}{f' {self.name}' if self.name else ''}{where}"


class Bound(NamedTuple):
    """A binding of a service account and the role that it names, None if there is none."""

    binding: Obj
    role: Obj | None

    @property
    def space(self) -> str:
        """Return the namespace in which it counts, empty for everywhere."""
        return str(self.binding["metadata"].get("namespace") or "")


class _Answered(UnderFaults):
    """Follows each call of each pod."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._any = bool(context.settings.get("calls", True))
        """Whether any pod calls at all, if the engine says so."""
        self._refused: dict[str, dict[tuple[str, Asked], tuple[float, str, str]]] = {}
        """Account -> (workload, call) -> (when first, how, the server's words)."""
        self._silent: dict[tuple[str, int], tuple[str, Asked, float]] = {}
        self._longest: dict[str, tuple[float, Asked, float]] = {}
        """Workload -> (seconds, call, since when)."""

    def marks(self) -> Handlers:
        if not self._any:
            return {}
        return {**super().marks(), "call": self._call, "pod": self._ended, "container": self._ended}

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._written} if self._any else {}

    def _written(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED" and self._silent:
            self._over(entry.obj["metadata"]["uid"], entry.t)
        return ()

    def _ended(self, mark: Mark) -> Iterable[Violation]:
        """Take what a pod waited for as over when its containers stop or start anew: they ask afresh."""
        if self._silent and mark.data["event"] in ("stopped", "started"):
            self._over(mark.data["uid"], mark.t)
        return ()

    def _over(self, uid: str, t: float) -> None:
        for key in [one for one in self._silent if one[0] == uid]:
            self._close(key, t)

    def _call(self, mark: Mark) -> Iterable[Violation]:
        data, key = mark.data, (mark.data["uid"], mark.data["call"])
        asked = Asked(data["verb"], data["group"], data["resource"], data["namespace"], data["name"])
        if data["state"] != "unanswered" and key in self._silent:
            self._close(key, mark.t)
        if data["state"] == "answered":
            return ()
        pod = self.context.view.get("pods", data["pod"])
        workload = workload_of(self.context, pod) if pod is not None else f"Pod/{data['pod']}"
        if data["state"] == "unanswered":
            self._silent.setdefault(key, (workload, asked, mark.t))
        elif data["state"] == "unauthorized" and (pod is None or pod["metadata"]["uid"] != data["uid"]):
            return ()  # a pod that was replaced while nobody could reach it: its token is bound to it, and good no more
        elif data["state"] != "missing" or data["needed"]:
            table = self._refused.setdefault(data["account"], {})
            table.setdefault((workload, asked), (mark.t, data["state"], data.get("message", "")))
        return ()

    def _close(self, key: tuple[str, int], t: float) -> None:
        workload, asked, since = self._silent.pop(key)
        if t - since > self._longest.get(workload, (0.0, asked, 0.0))[0]:
            self._longest[workload] = (t - since, asked, since)

    def finish(self, t: float) -> Iterable[Violation]:
        for account, table in self._refused.items():
            yield from self._of_account(account, table)
        for workload, asked, since in self._silent.values():
            if t - since > TOLD_S:
                text = f"its call to {asked} has had no answer for {t - since:.0f} s, though {fault_words(self.faults)} is healed"
                yield Violation(t=since, object=workload, summary=text, severity=Severity.ERROR, root=f"no answer {workload}")
        for workload, (length, asked, since) in self._longest.items():
            if length > TOLD_S and self.faults:
                text = f"its call to {asked} got no answer for {length:.0f} s during {fault_words(self.faults)}"
                yield Violation(
                    t=since, object=workload, summary=text, severity=Severity.INFO, root="calls without answer",
                    figures={"outage_s": round(length, 1)}, advice="let it go on with what it knows while the API server is away",
                )  # fmt: skip

    def _of_account(self, account: str, table: dict[tuple[str, Asked], tuple[float, str, str]]) -> Iterator[Violation]:
        """Say once for each account what it may not do, and once for each call what else is wrong with it."""
        forbidden = [(workload, asked) for (workload, asked), (_, how, _) in table.items() if how == "forbidden"]
        if forbidden:
            first_s = min(t for (t, how, _) in table.values() if how == "forbidden")
            workload, asked = forbidden[0]
            calls = list(dict.fromkeys(one for _, one in forbidden))
            found = cause(self.context, account, asked)
            more = f" (and {len(calls) - 1} more: {'; '.join(map(str, calls[1:4]))})" if len(calls) > 1 else ""
            text = f"service account {account} of {workload.replace('/', ' ', 1)} may not {asked}{more}: {found.words}"
            yield Violation(
                t=first_s, object=_place(self.context, account, workload, found.role), summary=text, severity=Severity.ERROR, root=f"calls {account}",
                advice=remedy(account, calls),
            )  # fmt: skip
        for (workload, asked), (t, how, message) in table.items():
            if how == "unauthorized":
                there = self.context.view.get("serviceaccounts", account) is not None
                how = "was made anew, and its token is of the one before" if there else "is not there"
                says = f"its call to {asked} is answered 401: the service account {account} {how}"
                advice = "restart its pods when you replace a ServiceAccount" if there else f"add the ServiceAccount {account}"
                yield Violation(t=t, object=workload, summary=says, root=f"account {account}", advice=advice)
            elif how == "missing":
                says = f"its call to {asked}, which it needs, finds nothing: {message}"
                yield Violation(
                    t=t, object=workload, summary=says, root=f"missing {asked}", advice="add the object, or give it with --context"
                )
            elif how == "refused":
                says = f"its call to {asked} is refused at admission: {message}"
                yield Violation(t=t, object=workload, summary=says, severity=Severity.WARNING, root=f"refused {workload} {asked}")


# -- why, and what to change -----------------------------------------------------------------------------------------------


def bound(context: Context, account: str) -> list[Bound]:
    """Return what binds a service account (``namespace/name``), by its name or its groups, among the user's objects."""
    space, _, name = account.partition("/")
    out = []
    for kind in ("rolebindings", "clusterrolebindings"):
        for _, one in sorted(context.view.table(kind).items()):
            where = one["metadata"].get("namespace", "")
            if any(_means(subject, where, space, name) for subject in one.get("subjects") or ()):
                ref = one["roleRef"]
                plural, key = ("roles", f"{where}/{ref['name']}") if ref["kind"] == "Role" else ("clusterroles", ref["name"])
                out.append(Bound(one, context.view.get(plural, key)))
    return out


def _means(subject: Obj, where: str, space: str, name: str) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in (ACCOUNTS, f"{ACCOUNTS}:{space}")
    if subject["kind"] == "User":
        return bool(subject["name"] == f"system:serviceaccount:{space}:{name}")
    return bool(subject["kind"] == "ServiceAccount" and subject["name"] == name and (subject.get("namespace") or where) == space)


class Cause(NamedTuple):
    """Why a call is not allowed, in words, and the role that comes nearest to allowing it."""

    words: str
    role: Obj | None = None


def cause(context: Context, account: str, asked: Asked) -> Cause:
    """Return why nothing allows a call: the nearest rule, or what is wrong with the bindings."""
    found = bound(context, account)
    gone = next((one.binding for one in found if one.role is None and not _builtin(one.binding["roleRef"])), None)
    if gone is not None:
        return Cause(f"{_words(gone)} names {_role(gone)}, which does not exist")
    near = next((Cause(words, one.role) for one in found if one.role is not None for words in _nearly(one, asked)), None)
    if near is not None:
        return near
    if found:
        roles = list(dict.fromkeys(_role(one.binding) for one in found))
        more = f" and {len(roles) - 3} more" if len(roles) > 3 else ""
        return Cause(f"none of its roles names {asked.resource} ({', '.join(roles[:3])}{more})")
    space, _, name = account.partition("/")
    for kind in ("rolebindings", "clusterrolebindings"):
        for _, one in sorted(context.view.table(kind).items()):
            for subject in one.get("subjects") or ():
                if subject["kind"] == "ServiceAccount" and subject["name"] == name:
                    other = subject.get("namespace") or one["metadata"].get("namespace", "")
                    return Cause(f"{_words(one)} binds the service account {name} of namespace {other}, not of {space}")
    return Cause("no role is bound to it")


def _nearly(one: Bound, asked: Asked) -> Iterator[str]:
    """Yield what keeps the rules of a role from allowing a call, if they come near."""
    assert one.role is not None
    who = _words(one.role)
    for rule in one.role.get("rules") or ():
        verb, group = _in(rule, "verbs", asked.verb), _in(rule, "apiGroups", asked.group)
        resource = _in(rule, "resources", asked.resource)
        named = not rule.get("resourceNames") or asked.name in rule["resourceNames"]
        if verb and group and resource and named:
            if one.space != asked.namespace:
                yield f"{_words(one.binding)} allows it in namespace {one.space} only"
        elif group and resource and named:
            yield f"{who} allows {', '.join(rule.get('verbs') or ())} of {asked.resource}, not {asked.verb}"
        elif verb and group and resource:
            yield f"{who} allows it for {', '.join(rule['resourceNames'])} only"
        elif verb and resource and named:
            yield f"{who} names {asked.resource} in the group {_groups(rule)}, they are in {asked.group or _CORE}"


_CORE = '""'


def _groups(rule: Obj) -> str:
    return ", ".join(one or _CORE for one in rule.get("apiGroups") or ())


def _in(rule: Obj, field: str, word: str) -> bool:
    return bool({word, "*"} & set(rule.get(field) or ()))


def _builtin(ref: Obj) -> bool:
    """Tell whether a role is one of Kubernetes' own, which histories leave out."""
    return bool(
        ref["kind"] == "ClusterRole" and (ref["name"] in ("admin", "edit", "view", "cluster-admin") or ref["name"].startswith("system:"))
    )


def _words(obj: Obj) -> str:
    meta = obj["metadata"]
    return f"{obj['kind']} {meta['namespace']}/{meta['name']}" if meta.get("namespace") else f"{obj['kind']} {meta['name']}"


def _role(binding: Obj) -> str:
    return f"{binding['roleRef']['kind']} {binding['roleRef']['name']}"


def _place(context: Context, account: str, workload: str, role: Obj | None) -> str:
    """Return where the remedy belongs: the role that comes nearest, else the service account, else the workload."""
    if role is not None:
        return f"{role['kind']}/{role['metadata'].get('namespace', '')}/{role['metadata']['name']}"
    if not account.endswith("/default") and context.view.get("serviceaccounts", account) is not None:
        return f"ServiceAccount/{account}"
    return workload


def remedy(account: str, calls: Iterable[Asked]) -> str:
    """Return the smallest rules that allow calls: one for each resource and place, and where they belong."""
    rules: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for one in calls:
        # a name can't narrow a creation: it is not known when the request is authorised
        name = "" if one.verb in ("create", "deletecollection") and "/" not in one.resource else one.name
        rules.setdefault((one.namespace, one.group, one.resource, name), {})[one.verb] = None
    spaces: dict[str, list[str]] = {}
    for (space, group, resource, name), verbs in rules.items():
        names = f", resourceNames: [{name}]" if name else ""
        spaces.setdefault(space, []).append(f'{{apiGroups: ["{group}"], resources: [{resource}]{names}, verbs: [{", ".join(verbs)}]}}')
    parts = []
    for space, texts in spaces.items():
        kind = f"a Role in namespace {space}" if space else "a ClusterRole (and a ClusterRoleBinding)"
        parts.append(f"{kind} with {' and '.join(texts)}")
    return f"bind to {account} {'; '.join(parts)}"


_DOCS = "https://kubernetes.io/docs/reference/access-authn-authz/rbac/"
PROPERTIES = (
    declare("KC207", "57", "calls-answered", "What an application's pods ask of the API server is allowed, and answered again after a fault.",
            _DOCS + "#service-account-permissions", _Answered, Guarantee.WITHOUT_FAULTS),
)  # fmt: skip
