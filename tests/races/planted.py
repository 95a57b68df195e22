"""Planted races: realistic bugs of controllers, each of which shows only if something goes wrong at the right moment.

A race is planted by replacing functions of the models from outside, so that the models know nothing of it. ``operation`` is what a user
does meanwhile, ``caught_by`` the property that must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from kchaos.engine.booting import System
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import uid
from kchaos.models.api.request import Request
from kchaos.models.api.tree import Obj, drop, get, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.client import Session
from kchaos.models.client.informer import Informer
from kchaos.models.controllers import daemonset, disruption, podcontrol, replicaset
from kchaos.models.controllers.attachdetach import AttachDetachController
from kchaos.models.controllers.deployment import DeploymentController
from kchaos.models.controllers.endpointslice import EndpointSliceController
from kchaos.models.controllers.pvbinder import PersistentVolumeBinder
from kchaos.models.scheduler.shell import Scheduler
from kchaos.runtime import Runtime
from kchaos.scenario import At, Step
from tests.races.world import AGENT, PAIR, STORE, TIGHT, VOLUMES, WEB
from tests.support import step, system_of

Patch = pytest.MonkeyPatch


class Race(NamedTuple):
    """One planted race."""

    name: str
    plant: Callable[[Patch], None]
    text: str
    operation: tuple[Step, ...]
    faults: tuple[str, ...]
    """Kinds that find it, fired at an event; a test that has no time for all kinds looks no further."""
    caught_by: str

    def system(self) -> System:
        """Return its application on six nodes in three zones, as the command sizes them."""
        return system_of(self.text)


# -- ReplicaSet and DaemonSet: what is expected ------------------------------------------------------------------------


async def _every_error_is_a_timeout(
    rt: Runtime, api: Session, requests: Sequence[Request], each: Callable[[int, podcontrol.Answer], None]
) -> tuple[int, ApiError | None]:
    def told(index: int, answer: podcontrol.Answer) -> None:
        each(index, answer if answer[1] is None else (None, ApiError("Timeout", answer[1].message)))

    return await podcontrol.slow_start(rt, api, requests, told)


def replicaset_waits_for_what_failed(patch: Patch) -> None:
    """A creation that was refused stays expected, as if it could still be seen: no more pods are made."""
    patch.setattr(replicaset, "slow_start", _every_error_is_a_timeout)


def daemonset_waits_for_what_failed(patch: Patch) -> None:
    """The same of a DaemonSet."""
    patch.setattr(daemonset, "slow_start", _every_error_is_a_timeout)


# -- scheduler ---------------------------------------------------------------------------------------------------------


def scheduler_forgets_what_is_bound(patch: Patch) -> None:
    """After a time-out it takes its assumption back, although the informer has long shown that the pod was bound."""

    def unassume(self: Scheduler, pod: Obj) -> None:
        self._assumed.pop(uid(pod), None)
        self.engine.forget(pod)
        if self._pod_by_uid(uid(pod)) is not None:
            self._back_off(uid(pod))

    patch.setattr(Scheduler, "_unassume", unassume)


def scheduler_drops_what_it_could_not_bind(patch: Patch) -> None:
    """A pod whose binding was refused stays assumed and is never tried again."""
    patch.setattr(Scheduler, "_unassume", lambda self, pod: None)


# -- informers ---------------------------------------------------------------------------------------------------------


def informer_keeps_what_vanished(patch: Patch) -> None:
    """After 410 it lists anew and takes over what is there, but does not notice what is not there any more."""
    original = Informer._listed

    def listed(self: Informer, answer: Obj | None, error: ApiError | None) -> None:
        if answer is not None:
            there = {key_of(obj) for obj in answer["items"]}
            answer = {**answer, "items": [*answer["items"], *(obj for key, obj in self.items.items() if key not in there)]}
        original(self, answer, error)

    patch.setattr(Informer, "_listed", listed)


def informer_resumes_at_the_newest(patch: Patch) -> None:
    """A watch that was closed is opened again at the newest version instead of the last one seen: what lies between is missed."""
    original = Informer._ended

    def ended(self: Informer, status: Obj | None) -> None:
        if status is not None or self._stopped:
            original(self, status)
            return
        namespace, labels, fields = self._scope
        options = {"label_selector": labels, "field_selector": fields}

        def newest(answer: Obj | None, error: ApiError | None) -> None:
            if answer is None:
                original(self, status)
                return
            self._rv = int(answer["metadata"]["resourceVersion"])
            self._watch()

        self._client.call(Request("list", self.resource, namespace, options=options, identity=self._identity), newest)

    patch.setattr(Informer, "_ended", ended)


# -- Deployment, EndpointSlice, disruption budgets -----------------------------------------------------------------------


def deployment_takes_its_own_set_for_a_collision(patch: Patch) -> None:
    """The name of the new ReplicaSet is taken: at first it does not look whether by its own, and makes one of another name."""
    original = DeploymentController._collision

    async def collision(self: DeploymentController, deployment: Obj, body: Obj, error: ApiError) -> Obj:
        if get(deployment, "status", "collisionCount", default=0):
            return await original(self, deployment, body, error)
        await self.api.update("deployments", put(deployment, 1, "status", "collisionCount"), "status")
        raise error

    patch.setattr(DeploymentController, "_collision", collision)


def endpoints_swallow_a_conflict(patch: Patch) -> None:
    """A write of a slice that was refused is not tried again."""
    original = EndpointSliceController._tolerant

    async def tolerant(self: EndpointSliceController, verb: str, body: Obj) -> None:
        try:
            await original(self, verb, body)
        except ApiError:
            return

    patch.setattr(EndpointSliceController, "_tolerant", tolerant)


def budget_forgets_what_was_granted(patch: Patch) -> None:
    """A pod whose eviction was granted, and which is not yet seen to go, counts as healthy again."""
    patch.setattr(disruption, "_pending", lambda pod, disrupted, wall_s: False)


# -- storage -----------------------------------------------------------------------------------------------------------


def binder_writes_over_others(patch: Patch) -> None:
    """It believes its informer rather than what it wrote itself, and reserves a volume without saying which version it means."""
    original = PersistentVolumeBinder._write

    async def write(self: PersistentVolumeBinder, volume: Obj, subresource: str = "") -> Obj:
        return await original(self, drop(volume, "metadata", "resourceVersion"), subresource)

    patch.setattr(PersistentVolumeBinder, "_write", write)
    patch.setattr(PersistentVolumeBinder, "_volume", lambda self, key: self._volumes.get(key))


def attacher_gives_up(patch: Patch) -> None:
    """It takes for attached what it has asked for, whatever the answer."""
    original = AttachDetachController._attach

    async def attach(self: AttachDetachController, volume: Obj, node: str) -> None:
        try:
            await original(self, volume, node)
        except ApiError:
            return

    patch.setattr(AttachDetachController, "_attach", attach)


ROLL_WEB = (step("rollout", "Deployment/default/web"),)
KILL_WEB = (step("pod-kill", "Deployment/default/web"),)
TWO_DRAINS = (step("drain", "node-1"), Step(do="drain", args={"target": "node-5"}, when=At(1.0)))
RACES = (
    Race("replicaset-waits-for-what-failed", replicaset_waits_for_what_failed, WEB, ROLL_WEB, ("request-refused",), "KC017"),
    Race("daemonset-waits-for-what-failed", daemonset_waits_for_what_failed, AGENT, (step("rollout", "DaemonSet/default/agent"),),
         ("request-refused",), "KC031"),
    Race("scheduler-forgets-what-is-bound", scheduler_forgets_what_is_bound, TIGHT, (step("rollout", "Deployment/default/tight"),),
         ("answer-lost",), "KC038"),
    Race("scheduler-drops-what-it-could-not-bind", scheduler_drops_what_it_could_not_bind, WEB, ROLL_WEB, ("request-refused",), "KC201"),
    Race("informer-keeps-what-vanished", informer_keeps_what_vanished, WEB, KILL_WEB, ("events-missed", "events-reordered"), "KC047"),
    Race("informer-resumes-at-the-newest", informer_resumes_at_the_newest, WEB, ROLL_WEB, ("watch-closed",), "KC017"),
    Race("deployment-takes-its-own-set-for-a-collision", deployment_takes_its_own_set_for_a_collision, WEB, ROLL_WEB,
         ("watch-closed",), "KC021"),
    Race("endpoints-swallow-a-conflict", endpoints_swallow_a_conflict, WEB, KILL_WEB, ("request-conflict",), "KC047"),
    Race("budget-forgets-what-was-granted", budget_forgets_what_was_granted, PAIR, TWO_DRAINS, ("events-held",), "KC202"),
    Race("binder-writes-over-others", binder_writes_over_others, VOLUMES, (step("scale-up", "StatefulSet/default/store", by=2),),
         ("events-held",), "KC045"),
    Race("attacher-gives-up", attacher_gives_up, STORE, (step("rollout", "StatefulSet/default/store"),), ("request-refused",), "KC204"),
)  # fmt: skip
