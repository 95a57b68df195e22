"""What could be changed, by rule: modest edits of what is there, and nothing where the row does not apply."""

from __future__ import annotations

import pytest

from kchaos.check.property import Severity
from kchaos.fix.candidates import OWN, TABLE, options
from kchaos.fix.scene import Option, Scene, Weakness
from kchaos.models.manifests.load import Text, load
from kchaos.properties.catalog import CATALOG

POD = "{labels: {app: w}}, spec: {containers: [{name: c, image: IMAGE, ports: [{containerPort: 80}]}]}"


def workload(spec: str = "", pod: str = "", kind: str = "Deployment", container: str = "", image: str = "app:1") -> str:
    return (
        f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: w}}\nspec:\n  selector: {{matchLabels: {{app: w}}}}\n{spec}"
        f"  template:\n    metadata: {{labels: {{app: w}}}}\n    spec:\n{pod}      containers:\n      - name: c\n        image: {image}\n"
        f"        ports: [{{containerPort: 80}}]\n{container}"
    )


def offered(
    text: str, rule: str, *faults: str, summary: str = "", root: str = "", subject: str = "Deployment/default/w", version: str = "1.34"
) -> list[Option]:
    """Return what is offered for a weakness of a workload in a text."""
    objects = {one.id: one for one in load([Text("a.yaml", text.encode())]).manifests}
    assert subject in objects or subject.startswith("Service/")
    scene = Scene(objects, {"default/w": ("Deployment/default/w",)}, version)
    return options(Weakness(rule, root, subject, Severity.ERROR, summary, faults, ()), scene)


def words(text: str, *arguments: str, **more: str) -> list[str]:
    objects = {one.id: one.obj for one in load([Text("a.yaml", text.encode())]).manifests}
    return [f"{edit.words(objects[edit.object])}" for option in offered(text, *arguments, **more) for edit in option.edits]


def budget(spec: str) -> str:
    return f"---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: b}}\nspec: {{{spec}, selector: {{matchLabels: {{app: w}}}}}}\n"


def test_every_row_names_a_rule_and_a_source() -> None:
    """The table reads as documentation."""
    assert all(row.rule in (*CATALOG, OWN) and row.source.startswith("https://kubernetes.io/docs/") and row.make.__doc__ for row in TABLE)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("minAvailable: 2", "spec.minAvailable: 2 → maxUnavailable: 1"),
        ("minAvailable: 100%", "spec.minAvailable: 100% → maxUnavailable: 1"),
        ("maxUnavailable: 0", "spec.maxUnavailable: 0 → 1"),
    ],
)
def test_a_budget_lets_one_pod_go(spec: str, says: str) -> None:
    assert words(workload("  replicas: 2\n") + budget(spec), "KC203", "drain")[0] == says


def test_a_budget_is_never_taken_away() -> None:
    """It is what its user meant."""
    found = offered(workload() + budget("minAvailable: 1"), "KC203", "drain")
    assert found[0].name == "the budget lets one pod go"
    assert not any(edit.op == "remove" for option in found for edit in option.edits)


def test_pods_that_must_be_together_keep_apart_last() -> None:
    """They are spread first, as that gives nothing up; a selector of others is left alone."""
    term = "- {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: APP}}}\n"
    pod = "      affinity:\n        podAffinity:\n          requiredDuringSchedulingIgnoredDuringExecution:\n          " + term
    text = workload("  replicas: 3\n", pod.replace("APP", "w"))
    mine = words(text, "KC202", "node-power-loss")
    assert mine[0].startswith("spec.template.spec.topologySpreadConstraints: and")
    assert mine[-1] == "spec.template.spec.affinity.podAffinity → podAntiAffinity"
    assert offered(text, "KC202", "node-power-loss")[-1].gives_up == "that pods stand together"
    assert "podAntiAffinity" not in " ".join(words(workload("  replicas: 3\n", pod.replace("APP", "other")), "KC202", "node-power-loss"))


def test_a_spread_that_is_a_wish_becomes_a_claim() -> None:
    pod = (
        "      topologySpreadConstraints:\n      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,"
        " labelSelector: {matchLabels: {app: w}}}\n"
    )
    found = words(workload("  replicas: 3\n", pod), "KC202", "drain")
    assert found[0] == "spec.template.spec.topologySpreadConstraints[0].whenUnsatisfiable: ScheduleAnyway → DoNotSchedule"


def test_two_replicas_where_there_is_one() -> None:
    """Not for what keeps data of its own, nor for members of a StatefulSet."""
    assert words(workload(), "KC202", "drain")[0] == "spec.replicas: 2"
    assert words(workload("  replicas: 1\n"), "KC202", "drain")[0] == "spec.replicas: 1 → 2"
    for image in ("redis:7", "bitnami/postgresql:16", "registry.example/team/mongo@sha256:00"):
        assert words(workload(image=image), "KC202", "drain") == []
    assert words(workload(image="redis-exporter:1"), "KC202", "drain")[0] == "spec.replicas: 2"
    assert words(workload(kind="StatefulSet"), "KC202", "drain", subject="StatefulSet/default/w") == []


HOST = "      volumes: [{name: d, hostPath: {path: /srv, type: TYPE}}]\n"
MOUNT = "        volumeMounts: [{name: d, mountPath: /data, readOnly: RO}]\n"
CLAIM = (
    "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\n"
    "spec: {storageClassName: disk, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n"
    "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\n"
    "spec: {storageClassName: CLASS, accessModes: [ReadWriteMany], capacity: {storage: 1Gi}, SOURCE}\n"
)


@pytest.mark.parametrize(
    ("host", "read_only", "more"), [("Directory", "false", False), ("Directory", "true", True), ("Socket", "false", True)]
)
def test_no_second_pod_writes_on_another_node(host: str, read_only: str, more: bool) -> None:
    """Data in a hostPath would be two sets of data; what is only read, and sockets, are none."""
    text = workload(pod=HOST.replace("TYPE", host), container=MOUNT.replace("RO", read_only))
    assert bool(words(text, "KC202", "drain")) == more
    several = workload("  replicas: 2\n", HOST.replace("TYPE", host), container=MOUNT.replace("RO", read_only))
    assert ("spec.replicas: 2 → 3" in words(several, "MINE-1", "drain")) == more


@pytest.mark.parametrize(
    ("class_", "source", "more"),
    [
        ("disk", "local: {path: /srv}", False),
        ("disk", "hostPath: {path: /srv}", False),
        ("disk", "nfs: {server: x, path: /srv}", True),
        ("other", "local: {path: /srv}", True),
        ("other", "claimRef: {name: c, namespace: default}, local: {path: /srv}", False),
        ("disk", "claimRef: {name: other, namespace: default}, local: {path: /srv}", True),
    ],
)
def test_no_second_pod_of_a_local_volume(class_: str, source: str, more: bool) -> None:
    """Whatever its access mode says, it is a folder of one node."""
    text = workload(pod="      volumes: [{name: d, persistentVolumeClaim: {claimName: c}}]\n", container=MOUNT.replace("RO", "false"))
    assert bool(words(text + CLAIM.replace("CLASS", class_).replace("SOURCE", source), "KC202", "drain")) == more


def test_a_spread_over_zones_needs_their_labels() -> None:
    """They are thought to be there, so it stays the first choice where a zone is lost."""
    found = offered(workload("  replicas: 3\n"), "KC202", "zone-power-loss")
    assert [one.name for one in found] == ["pods spread over zones", "pods spread over nodes"]
    assert "topology.kubernetes.io/zone" in found[0].needs and not found[1].needs
    alone = {one.name: one.needs for one in offered(workload(), "KC202", "zone-power-loss")}
    assert "topology.kubernetes.io/zone" in alone["two replicas spread over zones"]
    assert not alone["two replicas"] and not alone["two replicas spread over nodes"]


HOOK = (
    "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: h}\n"
    "webhooks:\n- name: h.example.com\n  clientConfig: {service: {namespace: default, name: w, path: /v}}\n"
    '  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]\n'
    "  admissionReviewVersions: [v1]\n  sideEffects: None\n"
)


def test_a_webhook_gives_up_its_neighbours() -> None:
    """What is left out is a namespace: all that lives there is then no longer asked about."""

    def first(text: str) -> Option:
        return offered(text, "KC208", summary="h.example.com", subject="ValidatingWebhookConfiguration//h")[0]

    assert (first(workload() + HOOK).name, first(workload() + HOOK).gives_up) == ("it is not asked about its own namespace", "")
    other = "---\n" + workload().replace("name: w}", "name: x}", 1)
    assert first(workload() + HOOK + other).gives_up == "that it is asked about what else is in the namespace default: Deployment x"
    elsewhere = other.replace("name: x}", "name: x, namespace: far}", 1)
    assert first(workload() + HOOK + elsewhere).gives_up == ""


def test_a_rollout_brings_new_pods_first() -> None:
    spec = "  replicas: 1\n  strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}\n"
    found = offered(workload(spec), "KC202", "rollout")[0]
    assert [edit.value for edit in found.edits] == [0, 1]
    recreate = offered(workload("  strategy: {type: Recreate}\n"), "KC202", "rollout")
    assert [option.gives_up for option in recreate if option.name == "a rolling update"] == ["that two versions never run at once"]
    assert recreate[0].gives_up == "", "what gives something up comes last"


def test_hooks_wait_within_their_grace() -> None:
    """A short grace grows by as much; before 1.30 there is no action `sleep`."""
    found = offered(workload(pod="      terminationGracePeriodSeconds: 4\n"), "KC205", "rollout", subject="Service/default/w")[0]
    assert [edit.value for edit in found.edits] == [{"sleep": {"seconds": 5}}, 9]
    assert not found.needs
    old = offered(workload(), "KC205", "rollout", subject="Service/default/w", version="1.29")
    hooks = [one for one in old if "preStop" in one.name]
    assert hooks[0].edits[0].value == {"exec": {"command": ["sleep", "5"]}}
    assert len(hooks) > 2 and {one.needs for one in hooks} == {"a `sleep` in the image"}
    longer = workload(container="        lifecycle: {preStop: {sleep: {seconds: 2}}}\n")
    assert words(longer, "KC205", "rollout", subject="Service/default/w")[0].endswith("preStop.sleep.seconds: 2 → 5")


def test_probes_ask_as_other_probes_do() -> None:
    """Else they connect to the port; without either nothing is made up."""
    lives = workload(container="        livenessProbe: {httpGet: {path: /up, port: 80}, periodSeconds: 3}\n")
    probe = next(one for one in offered(lives, "KC202", "rollout") if one.name == "a readiness probe").edits[0]
    assert probe.value == {"httpGet": {"path": "/up", "port": 80}}
    assert "readinessProbe: {tcpSocket: {port: 80}}" in " ".join(words(workload(), "KC202", "rollout"))
    assert "readinessProbe" not in " ".join(words(workload().replace("        ports: [{containerPort: 80}]\n", ""), "KC202", "rollout"))


def test_a_quota_grows_by_one_pod_and_keeps_its_quotes() -> None:
    quota = '---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: "3", cpu: "4"}}\n'
    found = offered(workload("  replicas: 3\n") + quota, "KC204", "rollout", summary="exceeded quota: q")
    assert [edit.value for edit in found[0].edits] == ["4"]
    assert found[1].gives_up == "one pod less while a rollout runs"
    assert not [one for one in offered(workload() + quota, "KC204", "rollout", summary="waits") if "quota" in one.name]
