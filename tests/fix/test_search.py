"""The search: only what level 1 confirmed is suggested, within the budget, the same each time; what would do harm is not."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Severity
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.change import ChangeResult
from kchaos.engine.execute import Answer, Question, execute
from kchaos.engine.machines import of_numbers
from kchaos.engine.settings import Accept, Settings
from kchaos.fix.suggest import Places, suggest
from kchaos.fix.trial import Attempt, Lab
from kchaos.models.manifests.load import Text
from tests.support import SITUATIONS

RACE = (SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8")
ALONE = (SITUATIONS / "one-replica.yaml").read_text(encoding="utf-8")


def asked(text: str, faults: str = "rollout,drain", **more: Any) -> tuple[Question, Answer]:
    """Return a question about a text, and its answer: level 1 of a few faults."""
    question = Question(
        texts=[Text("a.yaml", text.encode())], machines=lambda objects: of_numbers(None, None, objects), faults=faults, budget=BudgetOption(5),
        fail_on=Severity.WARNING, **more,
    )  # fmt: skip
    return question, execute(question)


def change_of(question: Question, answer: Answer, budget: int | None = None, **more: Any) -> ChangeResult:
    return suggest(question._replace(budget=BudgetOption(budget)), answer, Places(), **more)


@pytest.fixture(scope="module")
def race() -> tuple[Question, Answer]:
    return asked(RACE)


def test_what_is_suggested_was_simulated(race: tuple[Question, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts behind the diff are those that level 1 ran on, to the byte."""
    ran: list[Attempt] = []
    level1 = Lab.level1

    def noted(self: Lab, draft: Any) -> Attempt:
        ran.append(level1(self, draft))
        return ran[-1]

    monkeypatch.setattr(Lab, "level1", noted)
    change = change_of(*race)
    assert change.diff and change.passes
    added = [row[1:] for row in change.diff.split("\n") if row.startswith("+") and not row.startswith("+++")]
    assert any(all(row in one.draft.texts["a.yaml"].split("\n") for row in added) for one in ran if not one.findings)


def test_what_level_1_does_not_confirm_is_not_suggested(race: tuple[Question, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Though what failed first passes with it."""
    attempt, seen = Lab.attempt, []

    def no_better(self: Lab, *arguments: Any) -> Attempt:
        seen.append(attempt(self, *arguments))
        return seen[-1]._replace(weak=seen[0].weak)

    monkeypatch.setattr(Lab, "attempt", no_better)
    change = change_of(*race)
    assert not change.found and not change.diff and not change.passes
    assert change.tried > 0 and change.left


def test_two_searches_try_the_same(race: tuple[Question, Answer]) -> None:
    """With a budget of examples nothing depends on time."""
    assert change_of(*race, 40) == change_of(*race, 40)


@pytest.mark.parametrize("budget", [1, 2, 6])
def test_the_budget_holds(budget: int, race: tuple[Question, Answer]) -> None:
    """What could not be confirmed within it is not suggested."""
    change = change_of(*race, budget)
    assert change.examples <= budget
    assert not change.found and change.stopped == "budget"


def test_time_is_a_budget_too(race: tuple[Question, Answer]) -> None:
    """An hour may be given, two minutes are taken; a moment is too short for anything."""
    question, answer = race
    change = suggest(question._replace(budget=BudgetOption(None, 1e-9)), answer, Places())
    assert (change.examples, change.stopped) == (0, "budget")


def test_an_interruption_keeps_what_is_confirmed(race: tuple[Question, Answer]) -> None:
    """Ctrl-C in the middle: no suggestion without its level 1."""

    def stop(count: int) -> None:
        if count == 4:
            raise KeyboardInterrupt

    change = change_of(*race, tick=stop)
    assert not change.found and change.stopped == "interrupted" and change.examples == 4


def test_what_the_loader_says_of_the_edited_files_counts() -> None:
    """An object is declared twice, and one copy only can be edited (the other spells its namespace): the fix would bring a warning."""
    first, _, rest = RACE.partition("\n---\n")
    assert "\n  name: " in first
    again = first.replace("\n  name: ", "\n  namespace: default\n  name: ", 1)
    question, answer = asked(f"{again}\n---\n{first}\n---\n{rest}", "rollout")
    change = change_of(question, answer)
    assert answer.result.findings and change.tried > 0
    assert not change.found and change.after == (0, 1)


def test_accepted_findings_are_left_alone() -> None:
    """They are no trouble to anybody."""
    settings = Settings(accept=(Accept(id="KC205", reason="we retry", date="2026-01-01"),))
    assert change_of(*asked(RACE, settings=settings)).before == (0, 0)


HOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: hook.example.com
  clientConfig: {service: {namespace: default, name: hook, path: /v}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  admissionReviewVersions: [v1]
  sideEffects: None
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hook}
spec:
  replicas: 2
  selector: {matchLabels: {app: hook}}
  template:
    metadata: {labels: {app: hook}}
    spec:
      containers:
      - name: hook
        image: x/hook:1
        ports: [{containerPort: 8443}]
        readinessProbe: {tcpSocket: {port: 8443}}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: hook}
spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 8443}]}
"""


def test_an_edit_that_only_helps_without_another_is_left_out() -> None:
    """A webhook that stops its own pods is mended: then they need no spread, though without both edits both are missed."""
    change = change_of(*asked(HOOK, "node-power-loss,zone-power-loss,drain,rollout"))
    assert change.after == (0, 0) and change.passes
    assert [one.partition(":")[0] for one in change.edits] == ["ValidatingWebhookConfiguration hook"] and change.lines == 5


def test_no_second_database() -> None:
    """A second pod is not a second copy; why nothing is suggested is said."""
    text = ALONE.replace("registry.example/app:1", "mysql:8").replace(
        "{maxUnavailable: 1, maxSurge: 0}", "{maxUnavailable: 0, maxSurge: 1}"
    )
    change = change_of(*asked(text, "drain"))
    assert not change.found
    assert "no second pod is suggested: mysql keeps data of its own" in change.left[0]


def test_a_shared_disk_is_not_packed_on_one_node() -> None:
    """Two pods of one ReadWriteOnce claim would go with one node; only a volume that both can use is offered, with what it needs."""
    text = (SITUATIONS / "zonal-volume.yaml").read_text(encoding="utf-8")
    change = change_of(*asked(text, "node-power-loss,zone-power-loss"))
    assert change.needs and "ReadWriteMany" in change.needs[0] and change.gives_up
    assert change.pods == 1 and change.nodes == 0


def test_an_autoscaler_is_told_too() -> None:
    """What sets the replicas would take the second pod away again."""
    scaler = (
        "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: worker}\n"
        "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}, minReplicas: 1, maxReplicas: 5}\n"
    )
    change = change_of(*asked(ALONE + scaler, "drain"))
    assert change.passes and any("minReplicas: 1 → 2" in one for one in change.edits), change.edits


def test_what_is_taken_back_is_not_told() -> None:
    """An edit that a later one undoes leaves no trace; what the user wrote is still taken away by one that says so."""
    from kchaos.fix.edits import Edit, Op
    from kchaos.fix.files import Draft
    from kchaos.fix.search import settled
    from tests.support import loaded

    web, path = "Deployment/default/worker", ("spec", "strategy")
    with_it = Draft.of(loaded(ALONE).manifests, [], ())
    without = Draft.of(loaded(ALONE.replace("  strategy:\n    rollingUpdate: {maxUnavailable: 1, maxSurge: 0}\n", "")).manifests, [], ())
    edits = [Edit(Op.SET, web, ("spec", "replicas"), 2), Edit(Op.SET, web, (*path, "type"), "Recreate"), Edit(Op.REMOVE, web, path)]
    assert settled(edits, without) == edits[:1]
    assert settled(edits, with_it) == edits
