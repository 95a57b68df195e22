"""Webhooks that fail: their failurePolicy decides, a request waits for those that hang, and afterwards all is made up for."""

from __future__ import annotations

import functools

import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.sweep import sweep
from kchaos.history.record import Write
from kchaos.scenario import At, Scenario, Step
from tests.drawn import WEB
from tests.support import system_of

HOOK = """---
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}WebhookConfiguration
metadata: {{name: guard}}
webhooks:
- name: guard.example.com
  failurePolicy: {policy}
  timeoutSeconds: {timeout_s}
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {{service: {{namespace: default, name: guard}}}}
  rules: [{{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]
"""


@functools.cache
def booted(policy: str, timeout_s: int = 5, kind: str = "Validating") -> tuple[System, Boot]:
    system = system_of(WEB + HOOK.format(policy=policy, timeout_s=timeout_s, kind=kind), nodes=3, zones=1)
    return system, boot(system)


def outcome(system: System, image: Boot, do: str, target: str = "default/guard") -> Outcome:
    fault = Step(do=do, args={"target": target}, for_s=60.0)
    return run(system, image, Scenario(steps=(fault, Step(do="rollout", args={"target": "Deployment/default/api"}, when=At(1.0)))))


def made_s(found: Outcome) -> list[float]:
    """Return when the rollout's pods are made, in seconds since chaos began."""
    chaos_s = next(m.t for m in found.run.marks("phase") if m.data["name"] == "chaos")
    return [e.t - chaos_s for e in found.run.entries if isinstance(e, Write) and (e.resource, e.type) == ("pods", "ADDED")]


@pytest.mark.parametrize("do", ["webhook-timeout", "webhook-refused"])
@pytest.mark.parametrize("target", ["default/guard", "*"])
def test_fail_refuses_until_it_answers_again(do: str, target: str) -> None:
    """No pod is made while the webhook is away; then the rollout ends by itself."""
    found = outcome(*booted("Fail"), do, target)
    assert found.steps[0]["evidence"]["calls_failed"] > 0
    assert min(made_s(found)) > 55.0
    told = {(prop.id, violation.severity.value) for prop, violation in found.violations}
    assert told <= {("KC205", "warning"), ("KC208", "info")}
    why = [m.data["message"] for m in found.run.marks("event") if m.data["reason"] == "FailedCreate"]
    assert why and all('failed calling webhook "guard.example.com"' in text and "?timeout=5s" in text for text in why)
    assert all(("deadline exceeded" in text) == (do == "webhook-timeout") for text in why)


@pytest.mark.parametrize(("do", "kind", "wait_s"), [
    ("webhook-timeout", "Validating", 5.0), ("webhook-timeout", "Mutating", 5.0), ("webhook-refused", "Validating", 0.0),
])  # fmt: skip
def test_ignore_lets_pass_after_the_wait(do: str, kind: str, wait_s: float) -> None:
    """One that hangs costs timeoutSeconds for each request; one where nothing listens costs nothing."""
    found = outcome(*booted("Ignore", 5, kind), do)
    assert found.steps[0]["status"] == "bit"
    assert wait_s <= min(made_s(found)) - 1.0 < wait_s + 1.0
    assert not [prop.id for prop, _ in found.violations if not prop.id.startswith("KC2")]


def test_the_wait_is_shorter_than_clients_wait() -> None:
    """timeoutSeconds 30 does not make clients here take a write for lost that is carried out."""
    found = outcome(*booted("Ignore", 30), "webhook-timeout")
    times = made_s(found)
    assert len(times) == 3 and 9.0 <= times[0] - 1.0 < 10.0


def test_only_where_there_are_webhooks() -> None:
    names = ["webhook-timeout", "webhook-refused"]
    system, image = booted("Fail")
    assert [one.args["target"] for (one,) in sweep(system, image, names).level1[1:]] == ["default/guard"] * 2
    plain = system_of(WEB, nodes=3, zones=1)
    assert len(sweep(plain, boot(plain), names).level1) == 1
