"""Planted bugs: webhooks that fail closed and keep pods from being made; what kchaos.yaml says of webhooks counts."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Severity
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.settings import Settings
from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import USER, Request
from kchaos.models.cluster import Cluster
from tests.engine.test_remarks import APP, result_of
from tests.properties.objects import pod, replica_set
from tests.properties.planted import Case, Cases, Found, History, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
GUARDED = (SITUATIONS / "webhook-deadlock.yaml").read_text(encoding="utf-8")
HEALTHY = (SITUATIONS / "webhook-deadlock.healthy.yaml").read_text(encoding="utf-8")
NAME = "pods.guard.example.com"
FAILED = f'Error creating: Internal error occurred: failed calling webhook "{NAME}": failed to call webhook: connection refused'
URL = GUARDED.replace("service: {name: guard, namespace: guard, path: /pods}", "url: 'https://guard.example.com/'")


def lost(text: str, workload: str = "Deployment/guard/guard", settings: Settings | None = None) -> Found:
    """Return what is found when the only node of a workload is lost."""
    system = system_of(text, settings=settings)
    booted = boot(system)
    pods = booted.image.store.tables["pods"].items()
    node = next(pod["spec"]["nodeName"] for key, pod in sorted(pods) if key.startswith(workload.partition("/")[2]))
    return one(system, step("node-power-loss", node), booted=booted).violations


@CASES.bug("KC208", f"webhook {NAME}")
def a_webhook_that_refuses_its_own_pods(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine."""
    return about(lost(GUARDED if bad else HEALTHY), "KC208")


@CASES.bug("KC208", f"webhook {NAME}")
def what_answers_it_does_not_come_back(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = replica_set()
    history = History(owner)
    history.mark(
        "event",
        by="replicaset-controller",
        kind="ReplicaSet",
        namespace="shop",
        name="web-1",
        type="Warning",
        reason="FailedCreate",
        message=FAILED,
    )
    history.wait(100.0)
    if not bad:
        history.wait(-90.0)
        history.put(pod("web-1-x", owner=owner), by="replicaset-controller")
    return about(history.end(), "KC208")


@CASES.bug("KC208", f"away {NAME}", Severity.INFO)
def pods_wait_for_a_webhook(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = replica_set()
    history = History(owner)
    history.mark(
        "event",
        by="replicaset-controller",
        kind="ReplicaSet",
        namespace="shop",
        name="web-1",
        type="Warning",
        reason="FailedCreate",
        message=FAILED,
    )
    history.wait(100.0 if bad else 10.0)
    history.put(pod("web-1-x", owner=owner), by="replicaset-controller")
    return about(history.end(), "KC208")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug is found, and nothing in its twin."""
    case.check(bad, monkeypatch)


def cluster_of(text: str, **said: Any) -> Cluster:
    """Return a cluster that goes on from a booted system, with what kchaos.yaml says of the webhook."""
    system: System = system_of(text, settings=Settings(webhooks={NAME: said} if said else {}))
    booted: Boot = boot(system)
    cluster = Cluster(system.topology, assumptions=system.assumptions, webhooks=system.webhooks, image=booted.image)
    cluster.run_for(5.0)
    return cluster


def create(cluster: Cluster) -> Any:
    """Create a pod at once; return it, or why not."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    try:
        return cluster.execute(Request("create", "pods", "default", body=body, identity=USER))
    except ApiError as error:
        return error.message


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"answers": "deny"}, f'admission webhook "{NAME}" denied the request'),
        ({"answers": "timeout"}, "context deadline exceeded"),
        ({"latency_s": 11}, "context deadline exceeded"),
        ({"down_with": "Deployment/default/none"}, "connection refused"),
    ],
)
def test_what_is_said_counts(said: Any, says: str) -> None:
    """Also of one at a URL, which nothing in the files answers."""
    text = URL.replace("operations: [CREATE]", "operations: [CREATE], scope: Namespaced") + "\n---\n" + APP
    assert says in create(cluster_of(text, **said))


def test_a_patch_is_applied() -> None:
    """By a mutating webhook."""
    text = URL.replace("ValidatingWebhook", "MutatingWebhook")
    patch = [{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]
    assert create(cluster_of(text, patch=patch))["metadata"]["labels"] == {"seen": "yes"}


def test_down_with_a_workload() -> None:
    """It answers while the workload serves."""
    cluster = cluster_of(URL, down_with="Deployment/guard/guard")
    assert create(cluster)["metadata"]["name"] == "p"
    for kubelet in cluster.kubelets.values():
        for machine in kubelet.machines.values():
            kubelet.runtime.kill(machine)
    cluster.execute(Request("delete", "pods", "default", "p", options={"grace_period_seconds": 0}, identity=USER))
    assert "connection refused" in create(cluster)


def test_latency_delays_the_answer() -> None:
    """A user waits for it."""
    cluster = cluster_of(URL, latency_s=3)
    answers: list[float] = []
    begun = cluster.world.loop.time()
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    request = Request("create", "pods", "default", body=body, identity=USER)
    cluster.user.client.call(request, lambda obj, error: answers.append(cluster.world.loop.time() - begun))
    cluster.run_for(5.0)
    assert len(answers) == 1 and 3.0 <= answers[0] < 3.1


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        (URL, Settings(), "may refuse or change workloads, and fails closed"),
        (GUARDED.replace("name: guard, namespace: guard, path", "name: other, namespace: guard, path"), Settings(), "fails closed"),
    ],
)
def test_unknown_where_nothing_is_known(text: str, settings: Settings, says: str) -> None:
    """With what to write; known once kchaos.yaml says it."""
    result = result_of(text, "none", settings=settings)
    assert result.verdict == "unknown" and says in result.reasons[0]
    assert [one for one in result.not_modelled if NAME in one]
    said = result_of(text, "none", settings=Settings(webhooks={NAME: {}}))
    assert said.verdict == "pass" and not [one for one in said.not_modelled if NAME in one]
    assert result_of(text, "none", settings=Settings(webhooks={"guard": {}})).verdict == "pass"


@pytest.mark.parametrize(
    ("name", "own", "says", "hint"),
    [
        ("pods.guard.example.org", {}, "names the webhook pods.guard.example.org, which is not in the input", f"did you mean {NAME}?"),
        (NAME, {"patch": [{"op": "remove", "path": "/x"}]}, "a validating webhook changes nothing", "take the patch out"),
        (NAME, {"down_with": "Deployment/guard/gaurd"}, "it is never answered", "did you mean Deployment/guard/guard?"),
    ],
)
def test_what_does_not_fit_the_input(name: str, own: Any, says: str, hint: str) -> None:
    """A warning."""
    found = [f for f in result_of(GUARDED, "none", settings=Settings(webhooks={name: own})).findings if f.id == "KC315"]
    assert [f.severity for f in found] == [Severity.WARNING]
    assert says in found[0].summary and hint in found[0].advice
