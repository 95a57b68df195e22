"""Named applications that are healthy: no finding of level *error* may be told of them, whatever the seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kchaos.engine.execute import Answer, Question, execute
from kchaos.engine.inputs import HelmOptions, read_paths
from kchaos.engine.machines import of_numbers
from kchaos.engine.settings import FILE, Settings, load_settings
from kchaos.models.manifests.load import Text
from tests.support import ROOT

MANIFESTS = ROOT.parent / "shared" / "manifests"
SEEDS = (0, 1, 2)


class App(NamedTuple):
    """A folder of manifests, and what had to be mended first: pairs of text in any of its files, old and new."""

    name: str
    mended: tuple[tuple[str, str], ...] = ()
    why: str = ""
    """What was wrong with it as it stands."""
    files: tuple[str, ...] = ()
    """Which of its files are the application; none: all."""
    nodes: int | None = None
    zones: int | None = None


POLICY = ("apiVersion: policy/v1beta1", "apiVersion: policy/v1")
"""Removed in Kubernetes 1.25: the application would run without its budget."""
AS_THEY_ARE = (
    "airflow", "aws-ebs-csi", "bookinfo", "cassandra", "centraldashboard", "cert-manager", "clickhouse", "cluster-autoscaler", "coredns-addon",
    "daemonset-priority-gke", "external-dns", "flannel", "fluentd", "guestbook", "hello-app-gke", "ingress-nginx", "kong", "longhorn",
    "metrics-server", "mongodb", "nats", "online-boutique", "postgresql-ha", "rabbitmq", "redis-cluster-gke", "redis-sentinel", "robot-shop",
    "sentry", "sock-shop", "thanos", "zookeeper",
)  # fmt: skip
APPS: tuple[App, ...] = (
    *(App(name) for name in AS_THEY_ARE),
    App("cockroachdb", (POLICY, ("minAvailable: 67%", "maxUnavailable: 1")), "its budget is of an API that was removed, and lets nobody go: 67 % of 3 rounds up to 3"),
    App("consul", (POLICY,), "its budget is of an API that was removed"),
    App("hadoop", (POLICY, ("minAvailable: 1", "maxUnavailable: 1"), ("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 30")),
        "its budgets are of an API that was removed and would let nobody go, and a grace period of 0 in a StatefulSet lets two pods of one name run"),
    App("nginx-ha", (("minAvailable: 100%", "maxUnavailable: 1"),), "its budget asks for all four pods, so that no drain ends"),
    App("patroni", (("rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1"),), "its roles are of an API that was removed"),
)  # fmt: skip


def texts(app: App) -> Sequence[Text]:
    """Return its files, mended. Raises ValueError if a text that is to be mended is not there."""
    folder = MANIFESTS / app.name
    found = read_paths([str(folder / file) for file in app.files] or [str(folder)], HelmOptions())
    for old, new in app.mended:
        if not any(old.encode() in text.data for text in found):
            raise ValueError(f"{app.name}: {old!r} is nowhere")
        found = [text._replace(data=text.data.replace(old.encode(), new.encode())) for text in found]
    return found


def settings(app: App) -> Settings:
    """Return the kchaos.yaml beside its files, if there is one."""
    file = MANIFESTS / app.name / FILE
    return load_settings(file) if Path(file).is_file() else Settings()


def answer(app: App, seed: int) -> Answer:
    """Ask `kchaos run`'s question of it."""
    return execute(Question(
        texts=texts(app), machines=lambda objects: of_numbers(app.nodes, app.zones, objects), settings=settings(app), seed=seed,
    ))  # fmt: skip
