"""What is too large to simulate is refused at once, with the line that says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kchaos.errors import InvalidScenario
from tests.support import ask, loaded

TEMPLATE = """{{metadata: {{labels: {{a: b}}}}, spec: {{{more}containers: [{{name: c, image: i{requests}}}]}}}}"""


def workload(kind: str, fields: str = "", more: str = "", requests: str = "", name: str = "web") -> str:
    template = TEMPLATE.format(more=more, requests=requests)
    version = "batch/v1" if kind == "Job" else "apps/v1"
    selector = "" if kind == "Job" else "  selector: {matchLabels: {a: b}}\n"
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{selector}{fields}  template: {template}\n"


def refused(text: str, folder: Path, **options: int) -> str:
    """Return what is said, which must take no time."""
    file = folder / "input.yaml"
    file.write_text(text, encoding="utf-8")
    begun = time.monotonic()
    with pytest.raises(InvalidScenario) as error:
        ask([file], **options)
    assert time.monotonic() - begun < 5.0
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "bound"), [("99999999999999999999", "2147483647"), ("2147483648", "2147483647"), ("-2147483649", "-2147483648")]
)
def test_a_number_that_no_int32_holds(value: str, bound: str) -> None:
    """The API server's decoder refuses it."""
    result = loaded(workload("Deployment", f"  replicas: {value}\n"))
    assert not result.manifests
    (note,) = result.notes
    assert (note.rule, note.level, note.line) == ("KC305", "error", 6) and bound in note.message and "spec.replicas" in note.message


@pytest.mark.parametrize("replicas", [20_001, 100_000, 2147483647])
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
def test_too_many_replicas(kind: str, replicas: int, tmp_path: Path) -> None:
    says = refused(workload(kind, f"  replicas: {replicas}\n"), tmp_path)
    assert says == f"input.yaml:6: {replicas:,} pods are more than kchaos simulates (limit 20,000) (lower replicas)"


def test_many_workloads_together(tmp_path: Path) -> None:
    """The largest is named."""
    text = "---\n".join(workload("Deployment", f"  replicas: {count}\n", name=f"w{count}") for count in (9000, 12000))
    says = refused(text, tmp_path)
    assert says.startswith("input.yaml:14: 21,000 pods") and "12,000 of them of Deployment w12000" in says


def test_a_job_counts_what_runs_at_once(tmp_path: Path) -> None:
    assert "30,000 pods" in refused(workload("Job", "  parallelism: 30000\n  completions: 40000\n"), tmp_path)
    few = workload("Job", "  parallelism: 30000\n  completions: 2\n", more="restartPolicy: Never, ")
    (tmp_path / "input.yaml").write_text(few, encoding="utf-8")
    assert ask([tmp_path / "input.yaml"], faults="none").result.examples.run == 1


def test_daemon_sets_count_on_each_node(tmp_path: Path) -> None:
    """Only on nodes that they select."""
    text = "---\n".join(workload("DaemonSet", name=f"d{index}") for index in range(5))
    says = refused(text, tmp_path, nodes=5000)
    assert "25,000 pods" in says and "use fewer nodes" in says
    selects = "---\n".join(
        workload("DaemonSet", name=f"d{index}", more='nodeSelector: {"kubernetes.io/os": windows}, ') for index in range(5)
    )
    assert "21,000 pods" in refused(selects + "---\n" + workload("Deployment", "  replicas: 21000\n"), tmp_path, nodes=5000)


def test_more_nodes_than_can_be_simulated(tmp_path: Path) -> None:
    """The default topology is sized by requests: what they add up to is said."""
    says = refused(workload("Deployment", "  replicas: 15000\n", requests=', resources: {requests: {cpu: "60"}}'), tmp_path)
    assert "more than kchaos simulates (limit 5,000)" in says and "--nodes" in says
