"""``cluster``: objects are applied, time passes when it is told to, faults come and go, claims are waited for; each test begins anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kchaos.errors import InvalidScenario
from kchaos.scenario import load
from kchaos.testing.cluster import Refused, SimulatedCluster
from kchaos.testing.files import Files
from tests.plugin.conftest import Project
from tests.support import ROOT, SITUATIONS

pytest_plugins = ["pytester"]
WEB = "Deployment/default/web"
IMAGES: dict[Any, Any] = {}


@pytest.fixture
def own(tmp_path: Path) -> SimulatedCluster:
    """A cluster as the fixture makes it, without pytest around it."""
    return SimulatedCluster(Files(SITUATIONS, tmp_path), IMAGES, name="here.py::test", out=tmp_path)


def test_the_ten_lines_of_the_documentation(project: Project) -> None:
    """Apply, wait, lose a node, come back, and nothing that Kubernetes promises is broken."""
    project.test("""
def test_web_comes_back(cluster):
    cluster.apply("deploy/healthy.yaml")
    cluster.eventually(lambda: cluster.ready("Deployment/default/web") == 2)
    with cluster.inject("node-power-loss", "node-1"):
        cluster.advance(30)
    cluster.eventually(lambda: cluster.ready("Deployment/default/web") == 2)
    cluster.judge()

def test_begins_anew(cluster):
    assert cluster.list("Deployment") == [] and cluster.now == 0
""")
    project.run().assert_outcomes(passed=2)


def test_what_can_be_applied(own: SimulatedCluster, tmp_path: Path) -> None:
    """Paths, globs, YAML text, dicts, lists of them; namespaces are made; a second time changes an object."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "1"}}
    assert WEB in own.apply("budget-blocks-drain.healthy.yaml")
    assert own.apply(config, [{**config, "metadata": {"name": "b"}}]) == ["ConfigMap/shop/a", "ConfigMap/default/b"]
    assert own.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", namespace="other") == ["ConfigMap/other/c"]
    own.apply({**config, "data": {"k": "2"}})
    found = own.get("ConfigMap/shop/a")
    assert found is not None and found["data"] == {"k": "2"}
    own.scale(WEB, 3)
    own.settle()
    assert own.ready(WEB) == 3 == len(own.pods(WEB))
    own.patch(WEB, {"metadata": {"labels": {"a": "b"}}})
    own.delete(WEB)
    own.advance(60)
    assert own.get(WEB) is None and own.ready(WEB) == 0


def test_faults_have_evidence_and_an_end(own: SimulatedCluster) -> None:
    """What was injected says what it did; undone, the node is back; heal undoes all."""
    own.apply("budget-blocks-drain.healthy.yaml")
    own.settle()
    fault = own.inject("node-power-loss", "node-2")
    own.advance(60)
    ready = {n["metadata"]["name"]: [c["status"] for c in n["status"]["conditions"] if c["type"] == "Ready"] for n in own.list("Node")}
    assert fault.bit and ready["node-2"] == ["Unknown"]
    own.inject("leader-crash", "kube-scheduler")
    own.heal()
    own.eventually(lambda: own.ready(WEB) == 2)
    own.judge()


def test_claims_are_waited_for(own: SimulatedCluster) -> None:
    """No longer than said; an assertion inside is a claim that does not hold yet; always means all the time."""
    own.apply("budget-blocks-drain.healthy.yaml")

    def there() -> bool:
        assert own.ready(WEB) == 2, "not yet"
        return True

    own.eventually(there, within_s=60)
    assert own.now < 30
    own.always(there, for_s=20)
    with pytest.raises(AssertionError, match=r"not within 5 s: the claim is False"):
        own.eventually(lambda: own.ready(WEB) == 7, within_s=5)
    own.inject("pod-kill", WEB)
    with pytest.raises(AssertionError, match=r"not any more after \d+ s: not yet"):
        own.always(there)
    with pytest.raises(AssertionError, match="returns None"):
        own.eventually(lambda: own.get("ConfigMap/default/none"), within_s=2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.ready("Deployment/default/wep"), "there is no Deployment/default/wep, and never was (there is Deployment/default/web)"),
        (lambda c: c.ready("web"), "write Kind/namespace/name"),
        (lambda c: c.inject("drian", "node-1"), "did you mean drain?"),
        (lambda c: c.inject("drain", "node-9"), "node-9"),
        (lambda c: c.inject("drain"), "drain needs a target"),
        (lambda c: c.inject("rollout", "Deployment/default/wbe"), "Deployment/default/web"),
        (lambda c: c.inject("drain", "node-1", why=1), "why"),
        (lambda c: c.apply("nothing.yaml"), "no such file or folder: nothing.yaml"),
        (lambda c: c.apply("a: 1\n"), "no Kubernetes object"),
        (lambda c: c.advance(-1), "time can't advance by -1 s"),
        (lambda c: c.list("Dpeloyment"), "no kind 'Dpeloyment'"),
        (lambda c: c.configure(nodes=1), "comes too late"),
        (lambda c: c.judge("bad"), "write error, warning, info"),
        (lambda c: c.advance("x"), "time can't advance by 'x'"),
        (lambda c: c.advance(float("nan")), "time can't advance by nan s"),
        (lambda c: c.settle(-1), "within_s is -1"),
        (lambda c: c.eventually(True), "True is no function"),
        (lambda c: c.eventually(lambda: False, within_s=5, every_s=0), "every_s is 0"),
        (lambda c: c.eventually(lambda: False, within_s=float("inf")), "within_s is inf"),
        (lambda c: c.eventually(lambda: True, within_s=-5), "within_s is -5"),
        (lambda c: c.always(lambda: True, every_s=float("nan")), "every_s is nan"),
        (lambda c: c.always(lambda: True, every_s=0.0001), "every_s is 0.0001"),
        (lambda c: c.always(lambda: True, for_s=-1), "for_s is -1"),
        (lambda c: c.apply("a: 1\n", namespace="Not Valid!"), "'Not Valid!' can't name a namespace"),
        (lambda c: c.apply(5), "5 is no Kubernetes object"),
        (lambda c: c.apply({"kind": {1}}), "a Kubernetes object can't be written as JSON"),
        (lambda c: c.patch(WEB, {"spec": {"replicas": float("nan")}}), "a merge patch can't be written as JSON"),
        (lambda c: c.inject(3), "3 can't be the name of a fault"),
        (lambda c: c.get(3), "3 can't be an object"),
        (lambda c: c.pods(3), "3 can't be a workload"),
        (lambda c: c.ready(None), "None can't be a workload"),
        (lambda c: c.patch(WEB, "nonsense"), "a merge patch is a dict, not 'nonsense'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_words(own: SimulatedCluster, call: Any, says: str) -> None:
    """Each says what to write."""
    own.apply("budget-blocks-drain.healthy.yaml")
    with pytest.raises(InvalidScenario) as found:
        call(own)
    assert says in str(found.value) and "steps[" not in str(found.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"nodes": 0}, "nodes is 0: write a number from 1 on"),
        ({"nodes": -2}, "nodes is -2: write a number from 1 on"),
        ({"zones": "3"}, "zones is '3'"),
        ({"seed": "x"}, "seed is 'x': write a number from 0 on"),
        ({"topology": 5}, "topology is 5: write a path"),
        ({"masters": 2}, "masters is 2 (write 1 or 3)"),
        ({"topology": "t.yaml", "nodes": 3}, "leave out nodes and zones"),
    ],
)
def test_numbers_that_make_no_cluster(own: SimulatedCluster, asked: dict[str, Any], says: str) -> None:
    """Are refused at once."""
    with pytest.raises(InvalidScenario) as found:
        own.configure(**asked)
    assert says in str(found.value)


def test_a_history_begins_once(own: SimulatedCluster) -> None:
    """A second deploy would drop the first, other machines would be another cluster: both are refused, and all can be deployed at once."""
    first, second = ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in "ab")
    own.deploy(first)
    with pytest.raises(InvalidScenario, match=r"a second time.*cluster\.deploy\(a, b\).*cluster\.apply\(\)"):
        own.deploy(second)
    with pytest.raises(InvalidScenario, match=r"configure\(\) comes too late: objects are deployed"):
        own.configure(nodes=1)
    assert own.get("ConfigMap/default/a") is not None
    own.reset()
    own.deploy(first, second)
    assert own.get("ConfigMap/default/a") is not None and own.get("ConfigMap/default/b") is not None


def test_time_ends_between_two_milliseconds(own: SimulatedCluster) -> None:
    """The clock counts milliseconds: what is left of a wait is never too short to pass."""
    with pytest.raises(AssertionError, match="the claim is False"):
        own.eventually(lambda: False, within_s=1.0004)
    own.always(lambda: True, for_s=1.0004)


def test_what_the_api_server_refuses_is_raised(own: SimulatedCluster) -> None:
    """With its message."""
    with pytest.raises(Refused, match=r"ConfigMap/default/none: .*not found"):
        own.delete("ConfigMap/default/none")


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ({"spec": {"replicas": "x"}}, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"spec": {"template": {"spec": {"containers": [None]}}}}, "spec.template.spec.containers[0].name: Required value"),
        ({"kind": "DaemonSet"}, "unable to decode apps/v1, Kind=DaemonSet into Deployment"),
    ],
)
def test_a_patch_of_wrong_types_is_refused(own: SimulatedCluster, patch: dict[str, Any], says: str) -> None:
    """As the API server does: nothing of it is stored."""
    own.deploy("budget-blocks-drain.healthy.yaml")
    before = own.get(WEB)
    with pytest.raises(Refused) as found:
        own.patch(WEB, patch)
    assert says in str(found.value) and own.get(WEB) == before


def test_an_answer_is_waited_for(own: SimulatedCluster) -> None:
    """While the API server is down nothing is done yet: a call returns when it is."""
    own.deploy("budget-blocks-drain.healthy.yaml")
    own.inject("apiserver-crash")
    own.scale(WEB, 5)
    found = own.get(WEB)
    assert found is not None and found["spec"]["replicas"] == 5 and own.now > 1
    own.inject("apiserver-crash")
    for name in own.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: new}\n"):
        assert own.get(name) is not None
    own.inject("apiserver-crash")
    own.delete(WEB)
    found = own.get(WEB)
    assert found is None or found["metadata"]["deletionTimestamp"]


def test_nobody_answers(own: SimulatedCluster) -> None:
    """That is told, not passed over: what was asked for is not done."""
    own.configure(masters=3)
    own.deploy("budget-blocks-drain.healthy.yaml")
    for master in ("master-0", "master-1", "master-2"):
        own.inject("masters-apart", master)
    with pytest.raises(Refused, match=r"scale Deployment/default/web: no API server has answered within 180 s"):
        own.scale(WEB, 5)
    found = own.get(WEB)
    assert found is not None and found["spec"]["replicas"] == 2
    own.heal()
    own.scale(WEB, 3)
    found = own.get(WEB)
    assert found is not None and found["spec"]["replicas"] == 3


def test_machines_can_be_chosen(own: SimulatedCluster, tmp_path: Path) -> None:
    """Number, zones, masters, a topology file; reset begins anew on the same."""
    own.configure(nodes=4, zones=2, masters=3)
    assert len(own.nodes()) == 4
    own.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    own.reset()
    assert len(own.nodes()) == 4 and own.get("ConfigMap/default/a") is None
    own.reset()
    (tmp_path / "t.yaml").write_text("nodes: 2\nzones: 2\n", encoding="utf-8")
    own.configure(topology="t.yaml")
    assert len(own.nodes()) == 2


def test_the_same_steps_are_the_same_history(own: SimulatedCluster, tmp_path: Path) -> None:
    """Twice in one process; and as a scenario for `kchaos replay`."""

    def entries() -> list[Any]:
        own.reset()
        own.apply("budget-blocks-drain.healthy.yaml")
        own.advance(20)
        own.inject("drain", "node-1")
        own.advance(60)
        return list(own.history.entries)

    assert entries() == entries()
    own.scenario.save(tmp_path / "x.scenario.json")
    assert [step.do for step in load(tmp_path / "x.scenario.json").steps][-1] == "drain"
    command = [sys.executable, "-m", "kchaos.cli", "replay", str(tmp_path / "x.scenario.json")]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=ROOT)
    assert "drain of node-1" in done.stdout, done.stderr


def test_a_failure_tells_what_happened(project: Project) -> None:
    """The story of the cluster, and how to do the same steps again; our own code is not shown."""
    project.test(
        'def test_it(cluster):\n    cluster.apply("deploy/healthy.yaml")\n    cluster.advance(9)\n    cluster.ready("Deployment/default/w")\n'
    )
    result = project.run("--kchaos-seed=7")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "apply of Deployment/default/web" in text and str(ROOT) not in text and "engine" not in text
    scenario = project.path / text.partition("kchaos replay ")[2].partition("\n")[0].strip()
    assert load(scenario).seed == 7


def test_what_is_deployed_is_judged(own: SimulatedCluster) -> None:
    """It is at rest when the history begins; judge fails with what a fault breaks, and the scenario shows it to anybody."""
    own.deploy("budget-blocks-drain.yaml")
    assert own.now == 0 and own.ready(WEB) == 2
    own.inject("drain", own.pods(WEB)[0]["spec"]["nodeName"])
    own.advance(600)
    with pytest.raises(AssertionError, match=r"KC203 drain-ends: .*never ends"):
        own.judge()
    assert [step.do for step in own.scenario.steps] == ["drain"] and own.scenario.inputs["objects"]
    with pytest.raises(InvalidScenario, match="comes too late"):
        own.deploy("budget-blocks-drain.yaml")
    own.reset()
    own.deploy("budget-blocks-drain.healthy.yaml")
    own.inject("drain", own.pods(WEB)[0]["spec"]["nodeName"])
    own.judge()
