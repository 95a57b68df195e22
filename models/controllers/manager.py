"""kube-controller-manager: a process that competes for leadership and runs all controllers while it leads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kchaos.models.api.request import component
from kchaos.models.api.versions import Constants
from kchaos.models.client.client import Client
from kchaos.models.client.informer import Informers
from kchaos.models.client.leaderelection import LeaderElector
from kchaos.models.controllers.base import Context, Controller, EventSink
from kchaos.runtime import Runtime


class ControllerManager:
    """Starts its controllers' informers at once and the controllers when it leads (at once without election).

    ``died`` is called when leadership is lost: the real process exits, and its kubelet starts it again.
    """

    def __init__(
        self,
        rt: Runtime,
        servers: tuple[str, ...],
        first_server: int,
        constants: Constants,
        controllers: Sequence[type[Controller]],
        events: EventSink,
        elect: bool,
        died: Callable[[], None],
    ) -> None:
        self.rt = rt
        self.client = Client(rt, servers, first_server, constants.client_qps, constants.client_burst)
        identity = component("kube-controller-manager")
        informers = Informers(rt, self.client, identity)
        self.context = Context(rt, self.client, informers, constants, events)
        self._elect = elect
        self._synced = False
        self.leading = not elect
        self._kinds = controllers
        self.controllers: list[Controller] = []
        self._elector = LeaderElector(rt, self.client, identity, "kube-controller-manager", self._lead, died)

    def start(self) -> None:
        """Compete for leadership, or lead at once."""
        if self._elect:
            self._elector.start()
        else:
            self._lead()

    def _lead(self) -> None:
        self.leading = True
        self.controllers = [kind(self.context) for kind in self._kinds]
        self.context.informers.start(self._ready)

    def _ready(self) -> None:
        self._synced = True
        for controller in self.controllers:
            controller.start()
