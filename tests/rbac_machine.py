"""A random walk over users, groups, roles, bindings, aggregation and revocation, judged by an oracle of its own.

The oracle (kchaos.properties.rights) reads the stored objects as they are and knows nothing of kchaos.models.security.
"""

from __future__ import annotations

import random
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Impersonation, Request, service_account
from kchaos.models.controlplane import ControlPlane
from kchaos.models.security.bootstrap import aggregated
from kchaos.properties.rights import Rights
from kchaos.sim.world import World

Obj = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
API = f"{RBAC}/v1"
SPACES = ("one", "two")
USERS = ("ann", "ben", "cyd", "dot")
TEAMS = ("red", "blue", "green")
VERBS = ("get", "list", "create", "update", "patch", "delete", "watch")
KINDS = {"roles": "Role", "clusterroles": "ClusterRole", "rolebindings": "RoleBinding", "clusterrolebindings": "ClusterRoleBinding"}
PLACES = (
    ("", "pods"), ("", "pods/log"), ("", "pods/status"), ("", "secrets"), ("", "configmaps"), ("apps", "deployments"),
    ("apps", "deployments/scale"), ("apps", "statefulsets/scale"), (RBAC, "roles"), (RBAC, "rolebindings"), (RBAC, "clusterroles"),
    (RBAC, "clusterrolebindings"), ("", "users"), ("", "groups"), ("", "nodes"),
)  # fmt: skip
READ = (("", "configmaps"), ("", "secrets"), (RBAC, "roles"), (RBAC, "rolebindings"))
"""What the walk reads."""
NAMES = ("a", "b", "c")
ADMIN = Identity("root", ("system:masters", "system:authenticated"), "root")
AGGREGATION = service_account("clusterrole-aggregation-controller")


# -- the walk --------------------------------------------------------------------------------------------------------------


class Walk:
    """Random steps on a real API server of a simulated cluster; every answer is compared with the oracle's."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"rbac/{seed}")
        self.world = World(seed)
        self.control = ControlPlane(self.world, masters=1, elect=False)
        self.api = self.control.apis["master-0"]
        self.store = self.control.store
        self.oracle = Rights(self.store.table)
        self.groups: dict[str, list[str]] = {user: [] for user in USERS}
        self.counts: dict[str, int] = {}
        for space in ("default", *SPACES):
            self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        for space in SPACES:
            for name in NAMES:
                for kind in ("ConfigMap", "Secret"):
                    self.control.create({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": space}})

        verbs = ["create", "update", "delete", "get", "list"]
        writer = {"verbs": verbs, "apiGroups": [RBAC], "resources": list(KINDS)}
        self._stored("clusterroles", {"kind": "ClusterRole", "metadata": {"name": "writer"}, "rules": [writer]})
        people = [{"kind": "User", "apiGroup": RBAC, "name": user} for user in USERS[:2]]
        ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "writer"}
        self._stored(
            "clusterrolebindings", {"kind": "ClusterRoleBinding", "metadata": {"name": "writers"}, "roleRef": ref, "subjects": people}
        )

    def _stored(self, plural: str, obj: Obj) -> None:
        assert self.ask(ADMIN, "create", plural, "", body={"apiVersion": API, **obj}) is None

    def near(self, who: Identity, space: str) -> Obj | None:
        """Return a rule close to one that somebody has: the same, or one word more or less."""
        rng = self.rng
        held = [rule for rule in self.oracle.rules(who.user, who.groups, space) if rule.get("resources")]
        if not held:
            return None
        rule = dict(rng.choice(held))
        change = rng.randrange(7)
        if change == 1:
            rule["verbs"] = [*rule["verbs"], rng.choice(VERBS)]
        elif rule.get("resourceNames") and rng.random() < 0.4:
            del rule["resourceNames"]
        elif change == 3:
            rule["resourceNames"] = self._some(NAMES)
        elif change == 4:
            rule["resources"] = [*rule["resources"], rng.choice(PLACES)[1]]
        elif change == 5:
            one = rng.choice(rule["resources"])
            rule["resources"] = [one.partition("/")[0] if "/" in one else rng.choice((f"{one}/log", f"{one}/scale"))]
        return rule

    def who(self) -> Identity:
        """Return a user with its groups of now, or a service account."""
        if self.rng.random() < 0.15:
            space = self.rng.choice(SPACES)
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated")
            return Identity(f"system:serviceaccount:{space}:{self.rng.choice(NAMES)}", groups, "robot")
        user = self.rng.choice(USERS)
        return Identity(user, (*self.groups[user], "system:authenticated"), user)

    def _some(self, values: tuple[str, ...], at_most: int = 2) -> list[str]:
        return self.rng.sample(values, self.rng.randint(1, at_most))

    def rule(self) -> Obj:
        """Return a drawn rule."""
        rng = self.rng
        if rng.random() < 0.12:
            return {"verbs": ["impersonate"], "apiGroups": [""], "resources": rng.choice((["users"], ["users", "groups"], ["groups"]))}
        places = rng.sample(PLACES, 1) + rng.sample(READ, rng.randint(1, 2))
        verbs = (
            ["*"]
            if rng.random() < 0.15
            else self._some(("get", "list", *VERBS, *(("bind", "escalate", "impersonate") if rng.random() < 0.3 else ())), 4)
        )
        resources = [place for _, place in places]
        if rng.random() < 0.1:
            resources = [rng.choice(("*", "*/scale", "*/log"))]
        groups = ["*"] if rng.random() < 0.1 else sorted({group for group, _ in places})
        rule: Obj = {"verbs": verbs, "apiGroups": groups, "resources": resources}
        if rng.random() < 0.3:
            rule["resourceNames"] = self._some(NAMES)
        return rule

    def subject(self) -> Obj:
        """Return a drawn subject."""
        kind = self.rng.choice(("User", "User", "Group", "ServiceAccount"))
        if kind == "ServiceAccount":
            return {"kind": kind, "name": self.rng.choice(NAMES), "namespace": self.rng.choice(SPACES)}
        teams = (*TEAMS, f"system:serviceaccounts:{SPACES[0]}")
        return {"kind": kind, "apiGroup": RBAC, "name": self.rng.choice(USERS if kind == "User" else teams)}

    def draft(self, who: Identity, plural: str, space: str, name: str) -> Obj:
        """Return a drawn role or binding."""
        rng = self.rng
        meta: Obj = {"name": name, **({"namespace": space} if space else {})}
        obj: Obj = {"apiVersion": API, "kind": KINDS[plural], "metadata": meta}
        if plural in ("roles", "clusterroles"):
            obj["rules"] = [self.rule() for _ in range(rng.randint(0, 3))]
            if who is not ADMIN and rng.random() < 0.7:
                obj["rules"] = [rule for _ in range(rng.randint(0, 2)) if (rule := self.near(who, space)) is not None]
            if plural == "clusterroles":
                meta["labels"] = {f"add-to-{rng.choice(NAMES)}": "yes"} if rng.random() < 0.5 else {}
                if rng.random() < 0.2:
                    chosen = [{"matchLabels": {f"add-to-{one}": "yes"}} for one in self._some(NAMES)]
                    obj["aggregationRule"] = {"clusterRoleSelectors": chosen}
        else:
            kind = "ClusterRole" if plural == "clusterrolebindings" or rng.random() < 0.4 else "Role"
            role = rng.choice((*NAMES, "view")) if kind == "ClusterRole" else rng.choice(NAMES)
            obj["roleRef"] = {"apiGroup": RBAC, "kind": kind, "name": role}
            obj["subjects"] = [self.subject() for _ in range(rng.randint(0, 3))]
        return obj

    def ask(self, who: Identity, verb: str, plural: str, space: str, name: str = "", **more: Any) -> ApiError | None:
        """Send a request; return how it was refused, None if it was not."""
        try:
            self.api.execute(Request(verb, plural, space, name, identity=who, **more))
        except ApiError as error:
            return error
        return None

    def told(self, what: str, error: ApiError | None, expected: bool, *about: object) -> None:
        """Compare an answer with the oracle's."""
        refused = error is not None and error.reason == "Forbidden"
        self.counts[f"{what} {'refused' if refused else 'allowed'}"] = (
            self.counts.get(f"{what} {'refused' if refused else 'allowed'}", 0) + 1
        )
        assert refused is not expected, (what, "refused" if refused else "allowed", error and error.message, *about)

    # -- steps -----------------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Somebody joins a group or leaves it."""
        mine, team = self.groups[self.rng.choice(USERS)], self.rng.choice(TEAMS)
        mine.remove(team) if team in mine else mine.append(team)

    def write(self) -> None:
        """Somebody writes a role or binding, often one that is there."""
        rng = self.rng
        plural = rng.choice(tuple(KINDS))
        space = rng.choice(SPACES) if plural in ("roles", "rolebindings") else ""
        name = rng.choice(NAMES)
        who = ADMIN if rng.random() < 0.5 else self.who()
        key = f"{space}/{name}" if space else name
        old = self.store.get(plural, key)
        obj = self.draft(who, plural, space, name)
        verb = "create" if old is None else "update"
        path = "" if old is None else name
        if old is not None and "roleRef" in old and rng.random() < 0.7:
            obj["roleRef"] = old["roleRef"]
        allowed = self.oracle.may(who.user, who.groups, verb, RBAC, plural, space, path) and self.oracle.may_write(
            who.user, who.groups, plural, space, path, obj, old
        )
        error = self.ask(who, verb, plural, space, path, body=obj)
        if error is not None and error.reason == "NotFound":  # a binding to a role that is not there
            assert not allowed and "roleRef" in obj, error.message
            return
        if error is not None and error.reason == "Invalid":
            assert old is not None and old["roleRef"] != obj["roleRef"] and allowed, error.message
            return
        if old is not None and "roleRef" in obj and old["roleRef"] != obj["roleRef"]:
            assert error is not None, "roleRef was changed"
        self.told(f"{verb} {plural}", error, allowed, who, obj)
        self.aggregate()

    def delete(self) -> None:
        """Somebody takes a role or binding away; what it gave is gone at once."""
        rng = self.rng
        plural = rng.choice(tuple(KINDS))
        mine = [key for key in self.store.table(plural) if key.rpartition("/")[2] in NAMES]
        if not mine:
            return
        space, _, name = rng.choice(mine).rpartition("/")
        who = ADMIN if rng.random() < 0.25 else self.who()
        expected = self.oracle.may(who.user, who.groups, "delete", RBAC, plural, space, name)
        self.told(f"delete {plural}", self.ask(who, "delete", plural, space, name), expected, who, name)
        self.aggregate()

    def read(self) -> None:
        """Somebody reads or lists something."""
        rng, who = self.rng, self.who()
        plural = rng.choice(("configmaps", "secrets", "roles", "rolebindings", "clusterroles"))
        space = "" if plural == "clusterroles" else rng.choice((*SPACES, ""))
        verb = "get" if space and rng.random() < 0.5 else "list"
        name = rng.choice(NAMES) if verb == "get" else ""
        options: Obj = {}
        asked = name
        if verb == "list" and space and rng.random() < 0.3:
            asked = rng.choice(NAMES)
            options["field_selector"] = f"metadata.name={asked}"
        group = RBAC if plural not in ("configmaps", "secrets") else ""
        expected = self.oracle.may(who.user, who.groups, verb, group, plural, space, asked)
        self.told(f"{verb} {plural}", self.ask(who, verb, plural, space, name, options=options), expected, who, space, asked)

    def review(self) -> None:
        """An administrator asks what somebody may."""
        rng, who = self.rng, self.who()
        group, place = rng.choice(PLACES)
        resource, _, sub = place.partition("/")
        space, name = rng.choice((*SPACES, "")), rng.choice((*NAMES, ""))
        verb = rng.choice((*VERBS, "bind", "escalate", "other"))
        if (rule := self.near(who, space)) is not None and rng.random() < 0.8:
            verb, group, place = rng.choice(rule["verbs"]), rng.choice(rule["apiGroups"]), rng.choice(rule["resources"])
            place = place.replace("*/", "never/")
            resource, _, sub = place.partition("/")
            name = rng.choice(rule.get("resourceNames") or (name,))
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": sub, "namespace": space, "name": name}
        body = {"spec": {"user": who.user, "groups": list(who.groups), "resourceAttributes": asked}}
        answer = self.api.execute(Request("create", "subjectaccessreviews", body=body, identity=ADMIN))
        expected = self.oracle.may(who.user, who.groups, verb, group, place, space, name)
        assert answer["status"]["allowed"] is expected, (who, asked, answer["status"])

    def impersonate(self) -> None:
        """Somebody asks as somebody else."""
        rng, who = self.rng, self.who()
        user, groups = rng.choice(USERS), tuple(rng.sample(TEAMS, rng.randint(0, 1)))
        other = Identity(user, (*groups, "system:authenticated"))
        space = rng.choice(SPACES)
        may = self.oracle.may(who.user, who.groups, "impersonate", "", "users", "", user)
        may = may and all(self.oracle.may(who.user, who.groups, "impersonate", "", "groups", "", one) for one in groups)
        expected = may and self.oracle.may(other.user, other.groups, "list", "", "configmaps", space, "")
        error = self.ask(who, "list", "configmaps", space, impersonate=Impersonation(user, groups))
        self.told("impersonated list", error, expected, who, other)

    def aggregate(self) -> None:
        """Do what the controller of aggregated roles does, with its own rights."""
        roles = self.store.table("clusterroles")
        for _ in range(4):
            changed = False
            for name, role in list(roles.items()):
                if role.get("aggregationRule") and (rules := aggregated(role, roles.values())) != (role.get("rules") or []):
                    error = self.ask(AGGREGATION, "patch", "clusterroles", "", name, body={"rules": rules}, options={"patch_type": "merge"})
                    assert error is None, error
                    changed = True
            if not changed:
                return

    def run(self, steps: int) -> None:
        """Go ``steps`` steps. Raises AssertionError where the server and the oracle part."""
        kinds = (self.join, self.write, self.delete, self.read, self.review, self.impersonate)
        weights = (1, 6, 2, 9, 6, 3)
        try:
            for step in self.rng.choices(kinds, weights, k=steps):
                step()
        finally:
            self.world.close()
