"""What every controller is given, and the shape all of them share.

A controller is a shell: handlers put keys into a queue, a worker reads the informers, asks a pure function what to do, and does it
through its session. Decisions live in pure functions beside it and are tested alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kchaos.models.api.pods import controller_uid
from kchaos.models.api.request import service_account
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import Constants
from kchaos.models.client.client import Client, Session
from kchaos.models.client.informer import Informer, Informers
from kchaos.models.client.workqueue import WorkQueue
from kchaos.runtime import Runtime

EventSink = Callable[[str, Obj, str, str, str], None]
"""Called with (reporting controller, regarding object, Normal|Warning, reason, message); recorded in the Run, not stored."""


class Context:
    """One controller manager's runtime, connection, informers and constants."""

    def __init__(self, rt: Runtime, client: Client, informers: Informers, constants: Constants, events: EventSink) -> None:
        self.rt = rt
        self.client = client
        self.informers = informers
        self.constants = constants
        self._events = events

    def now(self) -> str:
        """Return the API timestamp of now on this host's clock."""
        return stamp(self.rt.wall())

    def session(self, controller: str) -> Session:
        """Return API calls under the controller's own service account."""
        return self.client.as_(service_account(controller))

    def informer(self, resource: str) -> Informer:
        """Return the shared informer of a kind."""
        return self.informers.of(resource)

    def owned(self, resource: str) -> Informer:
        """Return the shared informer of a kind with the index ``controller``: uid of the controlling owner -> objects."""
        informer = self.informers.of(resource)
        informer.add_index("controller", controller_uid)
        return informer

    def in_namespace(self, resource: str) -> Informer:
        """Return the shared informer of a kind with the index ``namespace``."""
        informer = self.informers.of(resource)
        informer.add_index("namespace", lambda obj: (obj["metadata"].get("namespace", ""),))
        return informer

    def queue(self, controller: str, sync: Callable[[str], Awaitable[None]], workers: int = 5) -> WorkQueue:
        """Return a work queue of this process."""
        return WorkQueue(self.rt, controller, sync, workers)

    def event(self, controller: str, regarding: Obj, kind: str, reason: str, message: str) -> None:
        """Record a Kubernetes Event (``kind`` Normal or Warning)."""
        self._events(controller, regarding, kind, reason, message)


class Controller:
    """Base of all controllers: constructed before the informers start, started when they have listed."""

    name = ""
    """As in the user agent and service account: ``deployment-controller``."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.rt = ctx.rt
        self.api = ctx.session(self.name)

    def start(self) -> None:
        """Begin to work; all informers have listed."""

    def event(self, regarding: Obj, kind: str, reason: str, message: str) -> None:
        """Record a Kubernetes Event from this controller."""
        self.ctx.event(self.name, regarding, kind, reason, message)
