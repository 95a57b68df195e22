"""Findings about the input: selectors that match nothing, requests that fit nowhere; fingerprints that stay when lines move."""

from __future__ import annotations

from pathlib import Path

import pytest

from kchaos.engine.campaign import BudgetOption
from kchaos.engine.execute import Question, execute
from kchaos.engine.machines import of_numbers
from kchaos.engine.result import Result
from kchaos.engine.settings import Accept, Settings, load_settings
from kchaos.models.manifests.load import Text
from tests.support import SITUATIONS

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web, tier: front}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}
"""
SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{port: 80}]\n  selector: {app: %s, tier: front}\n"
BUDGET = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec:\n  minAvailable: 1\n  selector: {matchLabels: {app: %s}}\n"
CLAIM = """\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: nvme
  resources: {requests: {storage: 1Gi}}
"""


def result_of(
    text: str, faults: str = "none", budget: str | None = None, name: str = "app.yaml", settings: Settings | None = None
) -> Result:
    """Ask about one file."""
    question = Question(
        texts=[Text(name, text.encode("utf-8"))], machines=lambda objects: of_numbers(6, 3, objects), faults=faults,
        budget=BudgetOption.of(budget), settings=settings or Settings(),
    )  # fmt: skip
    return execute(question).result


@pytest.mark.parametrize(
    ("text", "ident", "severity", "line", "says", "advice"),
    [
        (
            SERVICE % "wbe",
            "KC310",
            "error",
            15,
            "Service web selects no pod",
            "Deployment web has app: web, the selector asks for app: wbe",
        ),
        (
            SERVICE.replace("app: %s, tier: front", "x: other"),
            "KC310",
            "warning",
            15,
            "unless they come from elsewhere",
            "check the labels",
        ),
        (SERVICE.replace("{name: web}", "{name: web, namespace: shop}") % "web", "KC310", "error", 15, "selects no pod", "one namespace"),
        (
            SERVICE.replace("app: %s, tier: front", "app: wbe"),
            "KC310",
            "error",
            15,
            "it never has an endpoint",
            "has app: web, the selector asks for app: wbe",
        ),
        (BUDGET % "wbe", "KC310", "warning", 15, "PodDisruptionBudget b selects no pod of these files: it protects nothing", "labels"),
        (CLAIM, "KC314", "error", 15, "asks for StorageClass nvme, which does not exist here", "--context"),
    ],
)
def test_what_can_never_work(text: str, ident: str, severity: str, line: int, says: str, advice: str) -> None:
    """One finding at the line of the field, with what comes near."""
    found = [f for f in result_of(APP + text).findings if f.id == ident]
    assert [(f.severity.value, f.file, f.line) for f in found] == [(severity, "app.yaml", line)]
    assert says in found[0].summary and advice in found[0].advice


def test_a_budget_of_pods_that_an_operator_makes() -> None:
    """Nobody can tell from these files that it protects nothing."""
    custom = "---\napiVersion: example.org/v1\nkind: Broker\nmetadata: {name: b}\nspec: {}\n"
    found = result_of(APP + BUDGET % "broker" + custom)
    assert [f.id for f in found.findings if f.severity.value != "info"] == []
    assert any("an operator may make them" in note.message for note in found.notes)


def test_what_could_not_be_read_may_have_the_labels() -> None:
    """One mistake is one finding: a Service is not blamed for the Deployment's."""
    found = result_of(APP.replace("spec:\n", "spec:\n  replicas: two\n", 1) + SERVICE % "web")
    assert [f.id for f in found.findings] == ["KC305"]
    assert [n.rule for n in found.notes if "could not be read" in n.message] == ["KC311"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nodeSelector: {node-role.kubernetes.io/master: ''}, containers: [{name: c, image: a}]", "since Kubernetes 1.24"),
        ("nodeSelector: {disk: ssd}, containers: [{name: c, image: a}]", "--topology"),
        ("containers: [{name: c, image: a}]", ""),
    ],
)
def test_a_daemon_set_that_fits_no_node(spec: str, says: str) -> None:
    """No pod comes of it, and no event tells."""
    daemon = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n  selector: {matchLabels: {app: agent}}\n"
    text = APP + daemon + "  template:\n    metadata: {labels: {app: agent}}\n    spec: {" + spec + "}\n"
    found = [f for f in result_of(text).findings if f.id == "KC322"]
    assert [(f.severity.value, f.line) for f in found] == ([("warning", 17)] if says else [])
    assert all(says in f.advice for f in found)


@pytest.mark.parametrize("text", [SERVICE % "web", BUDGET % "web", SERVICE.replace("  selector: {app: %s, tier: front}\n", "")])
def test_what_works(text: str) -> None:
    """No remark."""
    result = result_of(APP + text)
    assert [f.id for f in result.findings] == [] and result.verdict == "pass"


@pytest.mark.parametrize(
    ("resources", "ident", "says"),
    [
        ('{requests: {cpu: "1000"}}', "KC201", "Insufficient cpu"),
        ("{requests: {memory: 4Ti}}", "KC201", "Insufficient memory"),
        ("{requests: {example.org/gpu: 1}, limits: {example.org/gpu: 1}}", "KC201", "Insufficient example.org/gpu"),
        ("{requests: {memory: 5Gi}, limits: {memory: 1Gi}}", "KC309", "must be less than or equal to memory limit"),
        ("{requests: {cpu: -1}}", "KC309", "must be greater than or equal to 0"),
    ],
)
def test_impossible_requests(resources: str, ident: str, says: str) -> None:
    """A pod that no node can hold, or that the API server refuses: an error."""
    result = result_of(APP.replace("image: nginx", f"image: nginx, resources: {resources}"))
    assert [(f.id, f.severity.value) for f in result.findings] == [(ident, "error")]
    assert says in result.findings[0].summary
    assert (result.verdict, result.exit_code) == ("fail", 1)


def prints(result: Result) -> dict[str, str]:
    """Return fingerprints and what they are of."""
    return {f.fingerprint: f"{f.id} {f.object}" for f in result.findings}


@pytest.mark.parametrize("name", ["one-replica", "zonal-volume", "quota-blocks-surge", "endpoint-race"])
def test_fingerprints_stay_when_lines_move(name: str) -> None:
    """Comments above, another order of documents, another seed: the same findings have the same fingerprints."""
    text = (SITUATIONS / f"{name}.yaml").read_text(encoding="utf-8")
    moved = "# new\n# lines\n" + text.replace("---\n", "---\n# more\n\n")
    one, other = result_of(text, "drain,rollout", "12"), result_of(moved, "drain,rollout", "12")
    assert prints(one) == prints(other) != {}
    assert {f.line for f in one.findings} != {f.line for f in other.findings}


BROKEN = [
    APP.replace("image: nginx", "image: nginx, image: redis"),
    APP.replace("spec:\n  selector", "spec:\n  replcas: 2\n  selector", 1),
    APP + "---\n" + APP.replace("tier: front", "tier: back"),
    APP + "---\napiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: old}\n",
    APP + "---\nkind: Pod\nmetadata: {name: old}\n",
    APP + SERVICE % "wbe",
    APP + "---\na: [\n",
    APP + "---\na: [\n  b\n---\nc: d\n",
    APP + "---\na: {{ .Values.x }}\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_fingerprints_of_remarks_stay_when_lines_move(text: str) -> None:
    """The same for what the loader says, whose words may name lines."""
    one, other = result_of(text), result_of("# new\n\n" + text)
    assert prints(one) == prints(other)
    assert len(prints(one)) == 1
    assert {f.line for f in one.findings} != {f.line for f in other.findings}


def test_an_accepted_finding_stays_accepted() -> None:
    """By fingerprint, though lines moved; the verdict follows."""
    text = APP + SERVICE % "wbe"
    (finding,) = result_of(text).findings
    accept = Accept(fingerprint=finding.fingerprint[:8], reason="known", date="2026-11-01")
    result = result_of("# new\n" + text, settings=Settings(accept=(accept,)))
    assert [f.accepted for f in result.findings] == ["known (2026-11-01)"]
    assert (result.verdict, result.exit_code) == ("pass", 0)


def test_settings_that_fit_nothing() -> None:
    """A quorum that no workload can have, an accepted object that is not there."""
    accept = [
        Accept(id="KC202", object=one, reason="x", date="2026-11-01")
        for one in ("Deployment/default/wbe", "Deployment/default/web", "default/web")
    ]
    settings = Settings(workloads={"default/web": {"quorum": 99}}, accept=tuple(accept))
    found = [(f.id, f.severity.value, f.file, f.summary, f.advice) for f in result_of(APP, settings=settings).findings]
    assert [one[:3] for one in found] == [("KC315", "warning", "kchaos.yaml")] * 2
    assert "a quorum of 99 of default/web, which has 1 replica" in str(found)
    assert "accepts findings of Deployment/default/wbe" in str(found) and "did you mean Deployment/default/web?" in str(found)


def test_the_same_file_under_its_folder(tmp_path: Path) -> None:
    """What has an object keeps its fingerprint wherever the file stands."""
    text = APP + SERVICE % "wbe"
    assert prints(result_of(text)) == prints(result_of(text, name="other/folder/app.yaml"))


def test_lines_of_kchaos_yaml(tmp_path: Path) -> None:
    """What it names and is not in the input is told with the file's real path and the line."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "workloads:\n  shop/web: {}\n  default/wbe:\n    calls:\n    - verb: list\n      resource: pods\n      namespace: kube-sistem\n"
        "webhooks:\n  a.b.c: {}\naccept:\n- id: KC202\n  reason: x\n  date: 2026-11-01\n  object: Deployment/default/wbe\n",
        encoding="utf-8",
    )
    result = result_of(SERVICE % "web", settings=load_settings(file))
    found = {(one.file, one.line, one.advice) for one in result.findings if one.id == "KC315"}
    assert {(where, line) for where, line, _ in found} == {(str(file), line) for line in (2, 3, 7, 9, 14)}
    assert (str(file), 7, "did you mean kube-system?") in found
