"""What the objects name and is not there: found at its line, with what to write; what may come from elsewhere is no alarm."""

from __future__ import annotations

import pytest

from kchaos.engine.references import references
from kchaos.models.manifests.load import Text, load
from kchaos.models.manifests.notes import Note
from tests.engine.test_remarks import result_of

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      POD
      containers:
        - name: c
          image: nginx
          ports: [{name: http, containerPort: 80}]
          CONTAINER
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
    - port: 80
      PORT
"""
CONFIG = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-config}\ndata: {mode: fast}\n"


def app(pod: str = "", container: str = "", service: str | None = None, more: str = "") -> str:
    """Return the application with some lines filled in."""
    text = APP.replace("POD", pod or "hostNetwork: false").replace("CONTAINER", container or "tty: false")
    return text + ("" if service is None else SERVICE.replace("PORT", service)) + more


def notes(text: str, context: str = "") -> list[Note]:
    """Return the remarks on references."""
    beside = load([Text("beside.yaml", context.encode())]).manifests if context else ()
    return list(references(load([Text("app.yaml", text.encode())]), [one.obj for one in beside], []))


ENV = "env: [{name: A, valueFrom: {configMapKeyRef: {name: %s, key: %s}}}]"
FOUND: dict[str, tuple[str, str, str, int, str, str]] = {
    "a named targetPort": (app(service="targetPort: htpp"), "KC317", "error", 24, "nobody ever answers there", "did you mean http?"),
    "a targetPort of the other protocol": (app(service="targetPort: http\n      protocol: UDP"), "KC317", "error", 24, "named http", "write the same"),
    "a number that nobody declares": (app(service="targetPort: 8080"), "KC317", "info", 24, "declares (80)", ""),
    "a readiness probe": (app(container="readinessProbe: {httpGet: {port: htpp}}"), "KC318", "error", 15, "never become ready", "did you mean http?"),
    "a startup probe": (app(container="startupProbe: {tcpSocket: {port: other}}"), "KC318", "error", 15, "never counts as started", "named http"),
    "a liveness probe": (app(container="livenessProbe: {httpGet: {port: htpp}}"), "KC318", "warning", 15, "never restarts anything", "http?"),
    "a volume of a ConfigMap": (app(pod="volumes: [{name: v, configMap: {name: web-conf}}]"), "KC319", "warning", 10, "stay in ContainerCreating", "--context"),
    "a volume of a Secret": (app(pod="volumes: [{name: v, secret: {secretName: keys}}]"), "KC319", "warning", 10, "mounts Secret keys", "--context"),
    "a projected volume": (
        app(pod="volumes: [{name: v, projected: {sources: [{secret: {name: keys}}]}}]"), "KC319", "warning", 10, "mounts Secret keys", "--context",
    ),
    "envFrom": (app(container="envFrom: [{secretRef: {name: keys}}]"), "KC319", "warning", 15, "CreateContainerConfigError", "--context"),
    "env": (app(container=ENV % ("web-confg", "mode"), more=CONFIG), "KC319", "warning", 15, "ConfigMap web-confg", "did you mean web-config?"),
    "a key that comes near": (app(container=ENV % ("web-config", "mod"), more=CONFIG), "KC319", "error", 15, "no such key", "did you mean mode?"),
    "a key": (app(container=ENV % ("web-config", "colour"), more=CONFIG), "KC319", "warning", 15, "no such key", "its keys are mode"),
    "another namespace": (
        app(container=ENV % ("web-config", "mode"), more=CONFIG.replace("{name: web-config}", "{name: web-config, namespace: other}")),
        "KC319", "warning", 15, "not in these files", "there is one in namespace other",
    ),
    "a service account": (app(pod="serviceAccountName: robot"), "KC319", "warning", 10, "the API server refuses the pods", "--context"),
    "a governing Service": (
        app(service="targetPort: http", more="---\n" + app().replace("Deployment", "StatefulSet").replace("replicas: 2", "serviceName: wbe")),
        "KC320", "warning", 30, "no DNS names", "add a headless Service wbe",
    ),
}  # fmt: skip


def test_a_governing_service_of_another_application() -> None:
    """A Service with a name that comes near, but with other pods, is not what was meant."""
    lost = app().replace("Deployment", "StatefulSet").replace("replicas: 2", "serviceName: webs")
    other = "---\napiVersion: v1\nkind: Service\nmetadata: {name: webx}\nspec: {selector: {app: other}, ports: [{port: 80}]}\n"
    hints = [f.advice for f in result_of(lost + other).findings if f.id == "KC320"]
    assert len(hints) == 1 and "add a headless Service webs" in hints[0]


@pytest.mark.parametrize("name", sorted(FOUND))
def test_what_leads_nowhere(name: str) -> None:
    """One remark: rule, level, line of the field, what comes of it, what to write."""
    text, rule, level, line, says, hint = FOUND[name]
    found = notes(text)
    assert [(one.rule, one.level, one.file, one.line) for one in found] == [(rule, level, "app.yaml", line)]
    assert says in found[0].message and hint in found[0].hint


CERTIFICATE = "---\napiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: c}\nspec: {secretName: keys-tls}\n"
SEALED = "---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: keys-tls}\nspec: {}\n"
JOB = """\
---
apiVersion: batch/v1
kind: Job
metadata: {name: make}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x, args: [create, "--secret-name=keys-tls"]}]}}}
"""
TLS = "volumes: [{name: v, secret: {secretName: keys-tls}}]"


@pytest.mark.parametrize("text", [
    app(), app(service="targetPort: http"), app(service="targetPort: 80"), app(service="name: web"),
    app(container="readinessProbe: {httpGet: {port: http}}\n          livenessProbe: {tcpSocket: {port: 8080}}"),
    app(pod="volumes: [{name: v, configMap: {name: x, optional: true}}, {name: w, secret: {secretName: y, optional: true}}]"),
    app(pod="volumes: [{name: v, configMap: {name: kube-root-ca.crt}}]"), app(pod="serviceAccountName: default"), app(pod='serviceAccountName: ""'),
    app(container=ENV % ("web-config", "mode"), more=CONFIG), app(container="envFrom: [{configMapRef: {name: x, optional: true}}]"),
    app(pod="serviceAccountName: robot", more="---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n"),
])  # fmt: skip
def test_what_is_there_or_need_not_be(text: str) -> None:
    """No remark."""
    assert notes(text) == []


@pytest.mark.parametrize(("more", "who"), [(CERTIFICATE, "Certificate c"), (SEALED, "SealedSecret keys-tls"), (JOB, "Job make")])
def test_what_something_in_the_input_may_make(more: str, who: str) -> None:
    """Information only."""
    assert [(one.rule, one.level, who in one.message) for one in notes(app(pod=TLS, more=more))] == [("KC319", "info", True)]


def test_token_secrets_and_context() -> None:
    """Kubernetes makes the first, the user gave the second."""
    assert [one.level for one in notes(app(pod="volumes: [{name: v, secret: {secretName: default-token-x7k2p}}]"))] == ["info"]
    assert notes(app(pod=TLS), "apiVersion: v1\nkind: Secret\nmetadata: {name: keys-tls}\n") == []


def test_one_remark_for_each_missing_object() -> None:
    """However many pods need it; of very many objects the last ones are put together."""
    two = app(pod=TLS) + "---\n" + app(pod=TLS).replace("name: web", "name: two")
    assert ["Deployment web (and 1 more) mounts Secret keys-tls" in one.message for one in notes(two)] == [True]
    many = ", ".join(f"{{secretRef: {{name: s{n}}}}}" for n in range(20))
    found = notes(app(container=f"envFrom: [{many}]"))
    assert len(found) == 7 and found[-1].message.startswith("14 more Secrets that pods need are not in these files: s6, s7")


def test_the_verdict() -> None:
    """A port that can never work fails the run; what may exist elsewhere does not."""
    broken = result_of(app(service="targetPort: htpp"))
    assert (broken.verdict, [f.id for f in broken.findings]) == ("fail", ["KC317"])
    open_ = result_of(app(pod=TLS))
    assert (open_.verdict, [(f.id, f.severity.value, f.object) for f in open_.findings]) == (
        "pass",
        [("KC319", "warning", "Secret/default/keys-tls")],
    )
