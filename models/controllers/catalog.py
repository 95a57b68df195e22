"""All controllers of this version, in the order in which the controller manager starts them."""

from __future__ import annotations

from kchaos.models.controllers.attachdetach import AttachDetachController, Attacher
from kchaos.models.controllers.base import Controller
from kchaos.models.controllers.clusterroles import ClusterRoleAggregation
from kchaos.models.controllers.cronjob import CronJobController
from kchaos.models.controllers.daemonset import DaemonSetController
from kchaos.models.controllers.deployment import DeploymentController
from kchaos.models.controllers.disruption import DisruptionController
from kchaos.models.controllers.endpointslice import EndpointSliceController
from kchaos.models.controllers.garbagecollector import GarbageCollector
from kchaos.models.controllers.job import JobController
from kchaos.models.controllers.namespace import NamespaceController
from kchaos.models.controllers.nodelifecycle import NodeLifecycleController
from kchaos.models.controllers.podgc import PodGarbageCollector
from kchaos.models.controllers.provisioner import Provisioner
from kchaos.models.controllers.pvbinder import PersistentVolumeBinder
from kchaos.models.controllers.replicaset import ReplicaSetController, ReplicationControllerController
from kchaos.models.controllers.resourcequota import ResourceQuotaController
from kchaos.models.controllers.serviceaccount import RootCaPublisher, ServiceAccountController
from kchaos.models.controllers.statefulset import StatefulSetController
from kchaos.models.controllers.tainteviction import TaintEvictionController
from kchaos.models.controllers.ttl import TtlAfterFinished
from kchaos.models.controllers.volumeprotection import ClaimProtection, EphemeralVolumes, VolumeProtection

CONTROLLERS: tuple[type[Controller], ...] = (
    ReplicaSetController,
    ReplicationControllerController,
    DeploymentController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    TtlAfterFinished,
    NodeLifecycleController,
    TaintEvictionController,
    PodGarbageCollector,
    DisruptionController,
    EndpointSliceController,
    PersistentVolumeBinder,
    Provisioner,
    ClaimProtection,
    VolumeProtection,
    EphemeralVolumes,
    AttachDetachController,
    Attacher,
    GarbageCollector,
    NamespaceController,
    ServiceAccountController,
    RootCaPublisher,
    ResourceQuotaController,
    ClusterRoleAggregation,
)
