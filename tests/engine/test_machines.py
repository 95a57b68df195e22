"""Which machines: sized by the requests, by two numbers, from kchaos' own topology file, from what kubectl prints."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kchaos.engine.machines import Machines, of_file, of_numbers
from kchaos.errors import InvalidScenario
from kchaos.models.topology import default_labels

NODE = """\
apiVersion: v1
kind: Node
metadata:
  name: %s
  resourceVersion: "1"
  uid: 11111111-1111-1111-1111-111111111111
  labels:
    topology.kubernetes.io/zone: %s
    topology.kubernetes.io/region: r1
    kubernetes.io/hostname: %s
    disk: ssd
spec:
  taints:
  - {key: gpu, value: a, effect: NoSchedule, timeAdded: "2026-01-01T00:00:00Z"}
  - {key: node.kubernetes.io/unreachable, effect: NoExecute}
status:
  capacity: {cpu: "8", memory: 16Gi, pods: "110"}
  allocatable: {cpu: 3920m, memory: 8155344Ki, pods: "58", ephemeral-storage: "95551679124", nvidia.com/gpu: "1", hugepages-2Mi: "0"}
"""
MASTER = NODE.replace("key: gpu, value: a", "key: node-role.kubernetes.io/control-plane")
ONE = NODE % ("a", "z1", "a")
OTHERS = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast, uid: 22222222-2222-2222-2222-222222222222, creationTimestamp: "2026-01-01T00:00:00Z"}
provisioner: example.org/disk
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: q, namespace: shop}
spec: {hard: {pods: "5"}}
status: {used: {pods: "3"}}
"""


def workload(replicas: int = 1, cpu: str = "", memory: str = "", **spec: Any) -> dict[str, Any]:
    """Return a Deployment that requests that much a pod."""
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    template = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}], **spec}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": {"replicas": replicas, "template": template}}


def shape(found: Machines) -> tuple[int, int, str, str]:
    """Return nodes, zones, and a node's CPU and memory."""
    node = found.topology.nodes[0]
    return len(found.topology.nodes), len(found.topology.zones), node.cpu, node.memory


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([], (6, 3, "8", "32Gi")),
        ([workload()], (6, 3, "8", "32Gi")),
        ([workload(24, "1")], (6, 3, "8", "32Gi")),  # half load: 24 CPU of 48
        ([workload(25, "1")], (9, 3, "8", "32Gi")),  # a node more for each zone
        ([workload(1, "5")], (6, 3, "16", "64Gi")),  # the largest pod takes half a node at most
        ([workload(1, "", "100Gi")], (6, 3, "64", "256Gi")),
        ([workload(1, "1000")], (6, 3, "64", "256Gi")),  # fits nowhere: the largest
        ([workload(600)], (12, 3, "8", "32Gi")),  # by number of pods
        ([workload(3, "junk")], (6, 3, "8", "32Gi")),
    ],
)
def test_sized_by_the_requests(objects: list[dict[str, Any]], expected: tuple[int, int, str, str]) -> None:
    """Three zones, two or more nodes each, room for all requests at half load; the words say that it was chosen."""
    found = of_numbers(None, None, objects)
    assert shape(found) == expected
    assert f"{expected[0]} nodes of {expected[2]} CPU" in found.words and "sized by what the pods request" in found.words


@pytest.mark.parametrize(
    ("nodes", "zones", "expected"),
    [(1, None, (1, 1)), (2, None, (2, 2)), (5, None, (5, 3)), (None, 1, (2, 1)), (None, 5, (10, 5)), (90, 30, (90, 30))],
)
def test_two_numbers(nodes: int | None, zones: int | None, expected: tuple[int, int]) -> None:
    """--nodes and --zones; every zone has a valid name."""
    found = of_numbers(nodes, zones, [])
    assert shape(found)[:2] == expected
    assert all(zone.replace("-", "").isalnum() for zone in found.topology.zones)


def test_more_zones_than_nodes() -> None:
    """Refused with the number that would do."""
    with pytest.raises(InvalidScenario, match=r"4 zones need at least 4 nodes, not 3 \(write --nodes 4\)"):
        of_numbers(3, 4, [])


def test_workloads_that_select_the_control_plane() -> None:
    """Then there are such nodes, with label and taint, and the words say why."""
    found = of_numbers(3, 3, [workload(nodeSelector={"node-role.kubernetes.io/control-plane": ""})])
    masters = [node for node in found.topology.nodes if node.name.startswith("control-plane")]
    assert len(masters) == 3 and all(one.taints[0]["effect"] == "NoSchedule" for one in masters)
    assert "because Deployment w selects them" in found.words


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the topology stands."""
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("form", ["documents", "list", "json"])
def test_what_kubectl_prints(form: str, file: Path) -> None:
    """Zones, capacity, taints and labels of each node; classes, priorities and quotas come along, without what a server adds."""
    texts = [ONE, NODE % ("b", "z2", "b"), OTHERS]
    if form == "documents":
        text = "---\n".join(texts)
    else:
        parts = [part for text in texts for part in text.split("---\n")]
        rows = "".join("- " + part.rstrip("\n").replace("\n", "\n  ") + "\n" for part in parts)
        text = f"apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{rows}"
    if form == "json":
        from kchaos.models.manifests.yamltree import Document, parse

        document = next(iter(parse(text)))
        assert isinstance(document, Document)
        text = json.dumps(document.value, indent=4)
    file.write_text(text, encoding="utf-8")
    found = of_file(file)
    assert found.words == f"2 nodes in 2 zones, from {file}"
    node = found.topology.nodes[0]
    assert (node.name, node.zone, node.region, node.cpu, node.memory, node.pods) == ("a", "z1", "r1", "3920m", "8155344Ki", 58)
    assert (node.labels, node.extended, node.ephemeral_storage) == ({"disk": "ssd"}, {"nvidia.com/gpu": "1"}, "95551679124")
    assert node.taints == ({"key": "gpu", "value": "a", "effect": "NoSchedule"},)
    assert [one["kind"] for one in found.objects] == ["StorageClass", "PriorityClass", "ResourceQuota"]
    assert found.objects[0]["metadata"] == {"name": "fast"} and "status" not in found.objects[2]


def test_nodes_without_zones_stay_without(file: Path) -> None:
    """A zone that is made up would let pods be spread over it that stay Pending in the real cluster."""
    rows = "".join(f"- {{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{a: b}}}}}}\n" for name in "ab")
    file.write_text(f"apiVersion: v1\nkind: List\nitems:\n{rows}", encoding="utf-8")
    found = of_file(file)
    assert found.words == f"2 nodes without zones (no node has the label topology.kubernetes.io/zone), from {file}"
    assert found.topology.zones == () and not any("topology" in key for key in default_labels(found.topology.nodes[0]))


@pytest.mark.parametrize(("masters", "servers"), [(0, 1), (1, 1), (3, 3)])
def test_masters_are_no_workers(masters: int, servers: int, file: Path) -> None:
    """Three of them are three API servers."""
    file.write_text("---\n".join([ONE, *(MASTER % (f"m{n}", "z1", f"m{n}") for n in range(masters))]), encoding="utf-8")
    found = of_file(file).topology
    assert ([node.name for node in found.nodes], found.masters) == (["a"], servers)


def test_a_cluster_of_masters_only(file: Path) -> None:
    """Such as kind or minikube with a taint: its node is a worker."""
    file.write_text(MASTER % ("m", "z1", "m"), encoding="utf-8")
    assert [node.name for node in of_file(file).topology.nodes] == ["m"]


@pytest.mark.parametrize(
    ("text", "nodes", "zones", "masters"),
    [
        ("nodes: 4\n", 4, 3, 1),
        ("nodes: 4\nzones: 2\nmasters: 3\ncpu: '4'\nmemory: 8Gi\n", 4, 2, 3),
        (
            "nodes:\n- {name: a, zone: z1}\n- {name: b, zone: z2, cpu: '2', taints: [{key: k, effect: NoExecute}], labels: {l: m}}\n",
            2,
            2,
            1,
        ),
    ],
)
def test_the_own_form(text: str, nodes: int, zones: int, masters: int, file: Path) -> None:
    """Numbers, or nodes one by one."""
    file.write_text(text, encoding="utf-8")
    found = of_file(file).topology
    assert (len(found.nodes), len(found.zones), found.masters) == (nodes, zones, masters)


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("", 1, "no nodes in the topology", "kubectl get nodes,sc,pc,quota -o yaml"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", 1, "no nodes in the topology", "nodes: 6"),
        ("nodes: 0\n", 1, "nodes must be 1 to 5000", "nodes: 6"),
        ("nodes: 3\nzones: 5\n", 1, "at most as many zones", "zones: 3"),
        ("nodes: 3\nmasters: 2\n", 2, "masters must be 1 or 3", "masters: 1"),
        ("nodes: 3\ncpu: 8\n", 2, "Expected `str`, got `int`", "quotes"),
        ("nodes: 3\ncpu: lots\n", 2, "cpu 'lots' is no amount", 'cpu: "8"'),
        ("nodes: 3\nfoo: 1\n", 2, "unknown field `foo`", "nodes: 6"),
        ('nodes: "3"\n', 1, "not a topology", "nodes: 6"),
        ("nodes: []\n", 1, "no nodes", "nodes: 6"),
        ("nodes:\n- {name: a}\n- {name: a}\n", 3, "two nodes are named a", "own name"),
        ("nodes:\n- name: a\n  zon: b\n", 3, "unknown field zon of a node", "did you mean zone?"),
        ("nodes:\n- zone: a\n", 2, "missing required field `name`", "name and zone"),
        ("nodes:\n- name: A_b\n", 2, "'A_b' can't name a node", "small letters"),
        ("nodes:\n- name: a\n  zone: -x\n", 3, "'-x' can't name a zone", "letters"),
        ("nodes:\n- name: a\n  memory: 4Gx\n", 3, "memory '4Gx' is no amount", "32Gi"),
        ("nodes:\n- name: a\n  taints:\n  - key: x\n", 4, "a taint needs its key and effect", "NoSchedule"),
        ("nodes: [\n", 1, "a [ that is not closed", "]"),
        (ONE.replace('pods: "58"', "pods: 1k"), 18, "pods of a node must be a whole number", "110"),
        (ONE.replace("cpu: 3920m", "cpu: abc"), 18, "cpu is 'abc', which is no quantity", "500m"),
        (ONE.replace("cpu: 3920m", "cpu: 0"), 18, "cpu '0' is no amount", 'cpu: "8"'),
        (ONE.replace("key: gpu, ", ""), 14, "a taint needs its key and effect", "NoSchedule"),
        (ONE.replace("kind: Node", "kind: Nod"), 2, "v1 has no kind Nod", "did you mean Node?"),
        (ONE.replace("  taints:", "  taints: {}\n  x:"), 13, "spec.taints must be a list", "- "),
    ],
)
def test_mistakes(text: str, line: int, says: str, hint: str, file: Path) -> None:
    """File, line, what is wrong, what to write."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidScenario) as caught:
        of_file(file)
    assert str(caught.value.location) == f"{file}:{line}"
    assert says in caught.value.message and hint in caught.value.hint


def test_a_file_that_is_not_there(file: Path) -> None:
    """It is named."""
    with pytest.raises(InvalidScenario, match=r"mine\.yaml: can't read the topology: No such file"):
        of_file(file)


@pytest.mark.needs("kubectl")
def test_kubectls_own_list(file: Path) -> None:
    """A List as kubectl itself writes it."""
    text = "---\n".join([ONE, NODE % ("b", "z2", "b"), OTHERS])
    command = ["kubectl", "annotate", "--local", "-f", "-", "a=b", "-o", "yaml"]
    done = subprocess.run(command, input=text.encode("utf-8"), capture_output=True, timeout=60, check=True)
    file.write_bytes(done.stdout)
    found = of_file(file)
    assert ([node.zone for node in found.topology.nodes], len(found.objects)) == (["z1", "z2"], 3)
