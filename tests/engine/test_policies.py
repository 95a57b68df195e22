"""NetworkPolicies that keep the application from what it needs are told at their line; what may be meant so, or may lie elsewhere, is no alarm."""

from __future__ import annotations

import pytest

from kchaos.engine.consumers import hidden_in, named_services
from kchaos.engine.policies import policy_notes
from kchaos.engine.references import pods_of
from kchaos.models.manifests.load import Text, load
from kchaos.models.manifests.notes import Note
from tests.engine.test_remarks import result_of

APP = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 5432, targetPort: sql}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: postgres, ports: [{name: sql, containerPort: 5433}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx, env: [{name: DB_URL, value: "postgres://db:5432"}]}]}
"""


def _policy(selector: str, rules: str, name: str = "p") -> str:
    head = f"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\n"
    return head + f"spec: {{podSelector: {selector}, {rules}}}\n"


DB, WEB, ALL = "{matchLabels: {app: db}}", "{matchLabels: {app: web}}", "{}"
FROM_WEB = "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: PORT}]}]"
DNS = "{ports: [{port: 53, protocol: UDP}]}"


def notes(*policies: str, app: str = APP) -> list[Note]:
    loaded = load([Text("app.yaml", (app + "".join(policies)).encode())])
    assert not loaded.notes
    return list(policy_notes(loaded.manifests, []))


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ([_policy(DB, "policyTypes: [Ingress]")], "Service db admits no client: NetworkPolicy p lets nobody in to port 5433"),
        ([_policy(DB, FROM_WEB.replace("PORT", "5432"))], "lets nobody in to port 5433"),
        ([_policy(DB, FROM_WEB.replace("PORT", "5433").replace("app: web", "app: webb"))], "admits only pods labelled app=webb"),
        ([_policy("{matchLabels: {app: webs}}", "ingress: [{}]")], "NetworkPolicy p selects no pod"),
        ([_policy(ALL, "policyTypes: [Ingress]", "all"), _policy(DB, "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]")],
         "Deployment web asks Service db:5432 (app.yaml:22), and NetworkPolicies all, p keep it out"),
        ([_policy(WEB, "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: cache}}}]}, " + DNS + "]")],
         "asks Service db:5432 (app.yaml:22), and NetworkPolicy p keeps it out"),
        ([_policy(WEB, "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]")], "no DNS question out (UDP 53)"),
        ([_policy(WEB, "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}, {ports: [{port: 53}]}]")], "no DNS question out"),
    ],
)  # fmt: skip
def test_what_is_kept_out_is_told(policies: list[str], says: str) -> None:
    found = [one for one in notes(*policies) if says in one.message]
    assert [(one.rule, one.level) for one in found] == [("KC330", "warning")]
    assert found[0].line > 22


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [_policy(DB, FROM_WEB.replace("PORT", "5433"))],
        [_policy(DB, FROM_WEB.replace("PORT", "sql"))],
        [_policy(DB, FROM_WEB.replace("PORT", "5000, endPort: 6000"))],
        [_policy(ALL, "policyTypes: [Ingress]", "all"), _policy(DB, FROM_WEB.replace("PORT", "sql"))],
        [_policy(DB, "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]")],
        [_policy(DB, "ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}, {podSelector: {matchLabels: {app: web}}}]}]")],
        [_policy(WEB, "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}, " + DNS + "]")],
        [_policy(WEB, "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}, {to: [{namespaceSelector: {}}], "
                      "ports: [{port: 53, protocol: UDP}]}]")],
        [_policy(WEB, "policyTypes: [Egress], egress: [{}]")],
        [_policy(DB, "policyTypes: [Egress]")],
    ],
)  # fmt: skip
def test_what_gets_through_is_no_alarm(policies: list[str]) -> None:
    """A database that may ask nobody names nobody; a namespace's labels may be any."""
    assert notes(*policies) == []


def test_clients_from_elsewhere_are_only_mentioned() -> None:
    stranger = _policy(DB, 'ingress: [{from: [{podSelector: {matchLabels: {client: "true"}}}]}]')
    alone = APP.partition("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}")[0]
    assert [one.level for one in notes(stranger, app=alone)] == ["info"]
    loaded = load([Text("app.yaml", (alone + stranger).encode())])
    assert list(policy_notes(loaded.manifests, [], all_known=False)) == []


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("env: [{name: X, value: db:5432}]", 5432), ("env: [{name: X, value: db.default.svc:5432}]", 5432),
        ("env: [{name: X, value: 'http://db'}]", None), ("env: [{name: DB_HOST, value: db}]", None), ("args: [--to=db:5432]", 5432),
        ("command: [sh, -c, 'psql postgres://u@db/x']", None), ("args: [db-0.db.default.svc.cluster.local]", None),
        ("env: [{name: X, value: db}]", 0), ("args: [db]", 0), ("args: ['db:1']", 0), ("args: ['my-db:5432']", 0), ("args: [db-2.internal:5432]", 0),
    ],
)  # fmt: skip
def test_whom_a_workload_names(where: str, named: int | None) -> None:
    """0: nobody."""
    text = APP.replace('env: [{name: DB_URL, value: "postgres://db:5432"}]', where)
    loaded = load([Text("app.yaml", text.encode())])
    services = {"default/db": next(one.obj for one in loaded.manifests if one.obj["kind"] == "Service")}
    web = next(one for one in pods_of([(one.obj, one) for one in loaded.manifests]) if one.words == "Deployment web")
    found = named_services(web, services, hidden_in("default", services))
    assert [(one.service, one.port) for one in found] == ([] if named == 0 else [("default/db", named)])


def test_no_requests_go_to_a_service_that_admits_nobody() -> None:
    """In a run it has no traffic; the file's note says so, not a hundred findings."""
    closed = result_of(APP + _policy(DB, "policyTypes: [Ingress]"), "rollout,drain")
    assert ["admits no client" in one.summary for one in closed.findings if one.id == "KC330"] == [True]
    assert [one.id for one in closed.findings if "requests lost" in one.summary] == []
