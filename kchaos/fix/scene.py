"""What candidates look at: one weakness that a campaign has shown, and the objects around it as they are edited so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kchaos.check.property import Severity
from kchaos.engine.cases import Case
from kchaos.fix.edits import Edit
from kchaos.fix.surgery import FieldPath
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Manifest

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController")
STORES = (
    "redis", "valkey", "memcached", "mysql", "mariadb", "percona", "postgres", "mongo", "etcd", "rabbitmq", "kafka", "zookeeper", "cassandra",
    "elasticsearch", "opensearch", "influxdb", "clickhouse", "couchdb", "neo4j", "minio", "nats", "consul", "vault", "cockroach", "prometheus", "ldap",
)  # fmt: skip
"""Images that keep data of their own: a second pod of them is not a second copy, so nobody is told to run one."""

NO_DATA = ("Socket", "CharDevice")
"""Types of hostPath that hold no data: something of the node is talked to."""


class Weakness(NamedTuple):
    """What one object got wrong in a campaign: the rule, its root cause, how bad, in words, under which faults, and the cases that show it."""

    rule: str
    root: str
    object: str
    severity: Severity
    summary: str
    faults: tuple[str, ...]
    cases: tuple[Case, ...]
    fingerprint: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes it the same weakness after an edit."""
        return (self.rule, self.root, self.object)


class Option(NamedTuple):
    """One way to mend a weakness. ``gives_up``: what its user meant and would lose; ``needs``: what a simulation can't know to be there."""

    name: str
    edits: tuple[Edit, ...]
    gives_up: str = ""
    needs: str = ""


class Scene(NamedTuple):
    """Objects by id as edited so far; Service (``namespace/name``) to the workloads behind it; the version of Kubernetes."""

    objects: Mapping[str, Manifest]
    backing: Mapping[str, tuple[str, ...]]
    kubernetes: str = "1.34"

    def obj(self, ident: str) -> Obj | None:
        """Return an object of the files, None if it is not there."""
        found = self.objects.get(ident)
        return found.obj if found is not None else None

    def subjects(self, weakness: Weakness) -> tuple[str, ...]:
        """Return what would be edited: the workloads behind a Service, else the object itself."""
        kind, _, rest = weakness.object.partition("/")
        found = self.backing.get(rest, ()) if kind == "Service" else (weakness.object,)
        return tuple(one for one in found if one in self.objects)

    def of_kind(self, *kinds: str) -> Iterator[tuple[str, Obj]]:
        """Yield (id, object) of some kinds."""
        for ident, one in self.objects.items():
            if one.obj["kind"] in kinds:
                yield ident, one.obj

    def budgets(self, workload: str) -> list[tuple[str, Obj]]:
        """Return the disruption budgets that select a workload's pods."""
        obj = self.obj(workload)
        labels, space = labels_of(obj) if obj is not None else {}, workload.split("/")[1]
        found = self.of_kind("PodDisruptionBudget")
        return [
            (ident, one) for ident, one in found
            if ident.split("/")[1] == space and labels and compile_selector(get(one, "spec", "selector", default={}))(labels)
        ]  # fmt: skip

    def claim(self, workload: str) -> tuple[str, Obj] | None:
        """Return the claim of the files that all pods of a workload share and that one node only can use."""
        obj, space = self.obj(workload), workload.split("/")[1]
        for volume in get(obj or {}, *pod_path(obj), "volumes", default=()) if obj is not None else ():
            name = get(volume, "persistentVolumeClaim", "claimName")
            found = self.obj(f"PersistentVolumeClaim/{space}/{name}") if name else None
            if found is not None and not any(mode.endswith("Many") for mode in get(found, "spec", "accessModes", default=())):
                return f"PersistentVolumeClaim/{space}/{name}", found
        return None

    def node_data(self, workload: str) -> str:
        """Return the volume in which a workload's pods write on their node's own disk: a second pod has other data there; empty for none."""
        obj, space = self.obj(workload), workload.split("/")[1]
        if obj is None:
            return ""
        for volume in get(obj, *pod_path(obj), "volumes", default=()):
            path, claim = get(volume, "hostPath"), get(volume, "persistentVolumeClaim", "claimName")
            local = path is not None and path.get("type") not in NO_DATA
            if (local or (claim and self._on_a_node(space, claim))) and _writes(obj, volume["name"]):
                return str(volume["name"])
        return ""

    def _on_a_node(self, space: str, claim: str) -> bool:
        """Tell whether a claim is bound, or can be, to a volume of the files that is a folder of one node."""
        found = self.obj(f"PersistentVolumeClaim/{space}/{claim}")
        wanted, class_ = get(found or {}, "spec", "volumeName"), get(found or {}, "spec", "storageClassName", default="")
        for ident, volume in self.of_kind("PersistentVolume"):
            spec, owner = volume["spec"], get(volume, "spec", "claimRef", default={})
            if "local" not in spec and "hostPath" not in spec:
                continue
            mine = owner.get("name") == claim and owner.get("namespace", "default") == space
            free = not owner and found is not None and not wanted and spec.get("storageClassName", "") == class_
            if mine or wanted == ident.rpartition("/")[2] or free:
                return True
        return False

    def scaler(self, workload: str) -> tuple[str, Obj] | None:
        """Return the HorizontalPodAutoscaler that sets a workload's replicas."""
        kind, space, name = workload.split("/")
        for ident, one in self.of_kind("HorizontalPodAutoscaler"):
            target = get(one, "spec", "scaleTargetRef", default={})
            if ident.split("/")[1] == space and target.get("kind") == kind and target.get("name") == name:
                return ident, one
        return None

    def beside(self, space: str, service: str) -> list[str]:
        """Return what else has pods in a namespace than the workloads behind a Service, as ``kind name``."""
        behind = self.backing.get(f"{space}/{service}", ())
        kinds = (*WORKLOADS, "Job", "CronJob", "Pod")
        found = [ident for ident, _ in self.of_kind(*kinds) if ident.split("/")[1] == space and ident not in behind]
        return [f"{kind} {name}" for kind, _, name in (ident.split("/") for ident in found)]

    def spells_namespace(self, ident: str) -> bool:
        """Tell whether an object's text names its namespace: what is put beside it then does too."""
        node = self.objects[ident].node
        for key, value in getattr(node, "value", ()) or ():
            if key.value == "metadata":
                return any(below.value == "namespace" for below, _ in getattr(value, "value", ()))
        return False


def pod_path(obj: Obj) -> tuple[str, ...]:
    """Return where an object's pod spec is."""
    if obj["kind"] == "CronJob":
        return ("spec", "jobTemplate", "spec", "template", "spec")
    return ("spec",) if obj["kind"] == "Pod" else ("spec", "template", "spec")


def _writes(obj: Obj, volume: str) -> bool:
    """Tell whether a container of an object may write into a volume."""
    spec = get(obj, *pod_path(obj), default={})
    some = [one for key in ("initContainers", "containers") for one in spec.get(key) or () if isinstance(one, dict)]
    mounts = [mount for one in some for mount in one.get("volumeMounts") or () if mount.get("name") == volume]
    devices = [device for one in some for device in one.get("volumeDevices") or () if device.get("name") == volume]
    return bool(devices) or any(not mount.get("readOnly") for mount in mounts)


def labels_of(obj: Obj) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    found: dict[str, str] = get(obj, "spec", "template", "metadata", "labels", default={})
    return found


def own_selector(obj: Obj) -> Obj:
    """Return a selector of a workload's pods, as their own workload selects them."""
    found: Obj = get(obj, "spec", "selector", default={})
    if obj["kind"] == "ReplicationController" or not found:
        return {"matchLabels": found or labels_of(obj)}
    return found


def containers(obj: Obj) -> list[tuple[FieldPath, Obj]]:
    """Return (path, container) of an object's containers."""
    path = pod_path(obj)
    found = get(obj, *path, "containers", default=())
    return [((*path, "containers", i), one) for i, one in enumerate(found) if isinstance(one, dict)]


def store_in(obj: Obj) -> str:
    """Return the image that keeps data of its own among an object's containers; empty if none is known to."""
    for _, one in containers(obj):
        image = str(one.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]
        if "exporter" not in image and any(word in image.lower() for word in STORES):
            return image
    return ""


def handler_of(container: Obj, port: Any = None) -> Obj | None:
    """Return how to ask a container whether it answers: as its other probes do, else by connecting to its port; None if nothing says how."""
    for probe in ("livenessProbe", "startupProbe"):
        found = {key: value for key, value in (container.get(probe) or {}).items() if key in ("httpGet", "tcpSocket", "grpc", "exec")}
        if found:
            return found
    ports = [one for one in container.get("ports") or () if one.get("protocol", "TCP") == "TCP" and one.get("containerPort")]
    found_port = port if port is not None else (ports[0]["containerPort"] if ports else None)
    return {"tcpSocket": {"port": found_port}} if found_port is not None else None
