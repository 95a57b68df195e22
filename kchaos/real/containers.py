"""A cluster of etcd in containers: each member's peers stand behind a Toxiproxy of its own, so that every directed pair can be cut.

Cutting one listener does not isolate a member, since it dials its peers itself. So there is one Toxiproxy container per *source* member, whose
network namespace the member shares. Member j advertises ``http://etcd<j>:<2400+j>``; in member a the name ``etcd<j>`` is an extra host that
leads to a's own Toxiproxy, on 127.0.0.1, whose proxy ``a->j`` listens on 2400+j and forwards to ``node<j>:2380``, an alias of j's Toxiproxy and
so of j on the network. That address outlives the member: dialled while it is down it refuses at once. One of its own would be gone with it, and
Docker's name server takes many seconds to say so, for which Toxiproxy, which waits until it has dialled, would take away no toxic or proxy.

Data lies on the container's own file system. It outlives SIGKILL and start (a tmpfs would not: Docker unmounts it when the process ends), and
goes with the container, so that there is one kind of thing less to clean up than with volumes.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from testcontainers.core.container import DockerContainer

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real import images
from kchaos.real.base import Base, from_outside, held
from kchaos.real.binaries import OLDEST, version_in
from kchaos.real.daemon import RUN, Daemon, Given, ryuk
from kchaos.real.leases import Lease, sweep
from kchaos.real.links import ToxicLinks
from kchaos.real.logs import exited, reason
from kchaos.real.ports import HOST, Ports
from kchaos.real.processes import FLAGS, STARTED, reads
from kchaos.real.toxiproxy import Toxiproxy
from kchaos.real.traffic import Traffic

CLIENT_PORT, PEER_PORT, API_PORT = 2379, 2380, 8474
FIRST_LISTEN = 2400
"""Proxies to member j listen on this port plus j."""
READY_WITHIN_S = 60.0
POLL_S = 0.03
ASK_S = 0.25
"""A read that is asked for before there is a leader is kept waiting; asked again, it is answered as soon as there is one."""
GONE_WITHIN_S = 30.0
"""For a killed container to end; Docker is slow at it on a busy machine."""
TRIES = 3
"""Starts with new ports, if another program was quicker to take one."""
DATA = "/kchaos-data"
_STATES = {"running": "running", "paused": "paused"}
_TAKEN = "taken by another program"


class ContainerCluster(Base):
    """Implements :class:`kchaos.real.cluster.Cluster` on containers; ``image`` (of etcd) and ``toxiproxy`` are names of images."""

    def __init__(self, size: int = 3, image: str | None = None, *, toxiproxy: str = images.TOXIPROXY, flags: Sequence[str] = ()) -> None:
        super().__init__(size, flags)
        self._image = image or images.ETCD
        self._toxiproxy = toxiproxy
        self._forget()

    def _forget(self) -> None:
        self._daemon: Daemon | None = None
        self._lease: Lease | None = None
        self._ports = Ports()
        self._clients: dict[str, int] = {}
        self._apis: dict[str, int] = {}
        self._etcds: dict[str, DockerContainer] = {}
        self._proxies: dict[str, DockerContainer] = {}
        self._paused: set[str] = set()
        self._killed: set[str] = set()
        self._links = None

    # start and stop

    def start(self) -> None:
        """As in :class:`Base`."""
        if self._lease is not None:
            raise HarnessError("the cluster is started already")
        for attempt in range(TRIES):
            try:
                atexit.register(self.stop)
                self._start()
                return
            except BaseException as error:  # Ctrl-C included, at any moment
                try:
                    self.stop()
                except HarnessError as left:  # the first error is the one that tells why
                    error.add_note(str(left))
                if not isinstance(error, HarnessError) or _TAKEN not in str(error) or attempt == TRIES - 1:
                    raise

    def _start(self) -> None:
        lease = self._lease = Lease()
        lease.own_label(f"{RUN}={lease.id}")
        daemon = self._daemon = Daemon(lease.id, lease.path)
        sweep(hook=daemon.remove)
        daemon.remove_orphans()
        many = len(self.members) > 1
        daemon.have([self._image, *([self._toxiproxy] if many else [])])
        self._clients = {member: self._ports.take() for member in self.members}
        self._apis = {member: self._ports.take() for member in self.members if many}
        network = daemon.network(f"kchaos-{lease.id}")
        with ryuk(daemon):
            self._proxies = dict(zip(self._apis, daemon.start_all(self._proxy(member, network) for member in self._apis), strict=True))
            given = [self._given(member, network) for member in self.members]
            self._etcds = dict(zip(self.members, daemon.start_all(given), strict=True))
        # only now are there proxies: until then a peer's address refuses, as that of a process that does not listen (see STARTED)
        self._wait_for_members(lambda member: STARTED in self.log(member))
        servers = dict(zip(self._apis, daemon.each("set up Toxiproxy", self._lay, self._apis), strict=True))
        self._links = ToxicLinks(
            {(a, b): (servers[a], f"{a}-{b}") for a in servers for b in servers if a != b},
            Traffic({member: self.endpoint(member) for member in self.members}),
            self._paused.__contains__,
        )
        self._wait_for_members(lambda member: reads(HOST, self._clients[member], ASK_S))
        self._versions = {"etcd": self._version(), "backend": "containers", "image": self._image, "docker": daemon.version()}
        if many:
            self._versions["toxiproxy"] = servers["m1"].version()

    def _proxy(self, member: str, network: str) -> Given:
        """Return the Toxiproxy of a member that has peers; the member's names and ports are its own."""
        return Given(
            name=f"{network}-toxiproxy-{member}",
            image=self._toxiproxy,
            command=["-host=0.0.0.0", "-proxy-metrics"],
            network=network,
            aliases=[f"node{_number(member)}"],
            hosts={f"etcd{_number(one)}": HOST for one in self.members},
            ports={API_PORT: self._apis[member], CLIENT_PORT: self._clients[member]},
        )

    def _lay(self, source: str) -> Toxiproxy:
        """Make the proxies of a member to its peers."""
        server = self._wait_for_toxiproxy(source)
        for target in self.members:
            if target != source:
                server.create(f"{source}-{target}", f"0.0.0.0:{listens(target)}", f"node{_number(target)}:{PEER_PORT}")
        return server

    def _wait_for_toxiproxy(self, member: str) -> Toxiproxy:
        server = Toxiproxy(HOST, self._apis[member])
        container = self._proxies[member].get_wrapped_container()
        until = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                server.version()
                return server
            except HarnessError as error:
                container.reload()
                if container.status == "exited":
                    raise HarnessError(f"Toxiproxy of {member} has ended: {reason(_text(container))}") from None
                if time.monotonic() > until:
                    raise HarnessError(
                        f"{error}, {READY_WITHIN_S:g} s after the start of its container: kchaos must run where the Docker daemon publishes ports"
                    ) from error
                time.sleep(POLL_S)

    def _given(self, member: str, network: str) -> Given:
        peers = {one: f"http://etcd{_number(one)}:{listens(one)}" for one in self.members}
        flags = {
            "name": member,
            "data-dir": DATA,
            "listen-client-urls": f"http://0.0.0.0:{CLIENT_PORT}",
            "advertise-client-urls": f"http://{self.endpoint(member)}",
            "listen-peer-urls": f"http://0.0.0.0:{PEER_PORT}",
            "initial-advertise-peer-urls": peers[member],
            "initial-cluster": ",".join(f"{one}={url}" for one, url in peers.items()),
            "initial-cluster-token": network,
            "initial-cluster-state": "new",
        }
        return Given(
            name=f"{network}-{member}",
            image=self._image,
            entrypoint=["etcd"],
            command=[*(f"--{name}={value}" for name, value in flags.items()), *FLAGS, *self._flags],
            network=network,
            # one alone has no peers, and so no Toxiproxy
            hosts={f"etcd{_number(member)}": HOST},
            ports={CLIENT_PORT: self._clients[member]},
            beside=str(self._proxies[member].get_wrapped_container().id) if member in self._proxies else "",
        )

    def _wait_for_members(self, good: Callable[[str], bool]) -> None:
        waiting = list(self.members)
        until = time.monotonic() + READY_WITHIN_S
        while True:
            are = [good(member) for member in waiting]
            waiting = [member for member, yes in zip(waiting, are, strict=True) if not yes]
            for member in waiting:
                if self.state(member) == "exited":
                    etcd_version(self._asked().words(self._image, "etcd", "--version"), self._image)  # an old one does not know our flags
                    raise HarnessError(f"etcd {member} has ended: {reason(self.log(member))}")
            if not waiting:
                return
            if time.monotonic() > until:
                told = reason(self.log(waiting[0]))
                raise HarnessError(
                    f"etcd {', '.join(waiting)} serves nobody {READY_WITHIN_S:g} s after its start; the last it said: {told}"
                )
            time.sleep(POLL_S)

    def _version(self) -> str:
        """Ask the running container: the image's name may tell something else."""
        container = self._etcds["m1"].get_wrapped_container()
        told = self._asked().ask("ask etcd for its version", lambda: container.exec_run(["etcd", "--version"]).output)
        return etcd_version(bytes(told).decode(errors="replace"), self._image)

    def stop(self) -> None:
        """Leave no container, network or port; may be called twice, and after a start that failed."""
        if self._elsewhere():
            return
        with self._lock:
            daemon, lease, ports = self._daemon, self._lease, self._ports
            try:
                if daemon is not None:
                    daemon.settle()
                    if lease is not None:
                        lease.clean(daemon.remove)
                elif lease is not None:  # nothing was made yet
                    lease.release()
            finally:
                if lease is not None:
                    lease.leave()
                if daemon is not None:
                    daemon.close()
                ports.close()
                self._forget()
                atexit.unregister(self.stop)

    # members

    def endpoint(self, member: str) -> str:
        """Return where clients reach it, host:port; the same over restarts."""
        self._known(member)
        if member not in self._clients:
            raise HarnessError("the cluster is not started")
        return f"{HOST}:{self._clients[member]}"

    def kill(self, member: str) -> None:
        """SIGKILL it, and wait until it is gone; nothing happens if it does not run."""
        with self._lock:
            if self.state(member) == "exited":
                return
            container = self._container(member)

            self._killed.add(member)

            def kill() -> None:
                container.kill()
                container.wait(timeout=GONE_WITHIN_S)

            self._asked().ask(f"kill {member}", kill)
            self._paused.discard(member)

    def restart(self, member: str) -> None:
        """Start a member that does not run with its data; returns when its container has started. Raises HarnessError if it exits at once."""
        with self._lock:
            if self.state(member) != "exited":
                return
            container = self._container(member)
            self._asked().ask(f"start {member} again", container.start)
            self._killed.discard(member)
            if self.state(member) == "exited":
                raise exited(member, self.log(member))

    def pause(self, member: str) -> None:
        """Freeze it; nothing happens if it does not run."""
        with self._lock:
            if self.state(member) == "running":
                self._paused.add(member)
                self._asked().ask(f"pause {member}", self._container(member).pause)

    def resume(self, member: str) -> None:
        """Unfreeze it; nothing happens if it is not paused."""
        with self._lock:
            if self.state(member) == "paused":
                self._asked().ask(f"resume {member}", self._container(member).unpause)
                self._paused.discard(member)

    def state(self, member: str) -> str:
        """Return running, paused or exited. Raises HarnessError if it, or what stands between the members, was removed or has ended."""
        container = self._container(member)
        assert self._lease is not None
        states = self._asked().states(self._lease.id)
        for one in self._proxies:
            proxy = self._proxies[one].get_wrapped_container()
            if states.get(proxy.name) != "running":
                told = (
                    "was removed" if proxy.name not in states else f"has ended by itself: {reason(self._read(f'toxiproxy-{one}', proxy))}"
                )
                raise HarnessError(f"Toxiproxy of {one} {told}")
        if container.name not in states:
            raise HarnessError(f"the container of {member} was removed by someone else")
        return _STATES.get(states[container.name], "exited")

    def disturbed(self, member: str) -> str:
        """As in :class:`kchaos.real.cluster.Cluster`."""
        with self._lock:
            state = self.state(member)
            if state == "paused" and member not in self._paused:
                return held(member)
            if state != "exited" or member in self._killed:
                return ""
            container = self._container(member)
            self._asked().ask(f"look at {member}", container.reload)
            code = int(container.attrs["State"]["ExitCode"])  # 128 plus the signal's number
            return from_outside(member, 128 - code if code > 128 else code)

    def log(self, member: str) -> str:
        """Return what it wrote, over all its starts."""
        return self._read(member, self._container(member))

    def _read(self, name: str, container: Any) -> str:
        return self._asked().ask(f"read the log of {name}", lambda: _text(container))

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        """Write the logs of all members and proxies into a folder, which is made if need be."""
        self._asked()
        named = dict(self._etcds) | {f"toxiproxy-{member}": one for member, one in self._proxies.items()}
        kept = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, container in named.items():
                path = folder / f"{name}.log"
                path.write_text(self._read(name, container.get_wrapped_container()), encoding="utf-8")
                kept.append(path)
        except OSError as error:
            raise HarnessError(f"the logs can't be kept in {folder}: {error.strerror}") from error
        return kept

    def _container(self, member: str) -> Any:
        self._known(member)
        if member not in self._etcds:
            raise HarnessError("the cluster is not started")
        return self._etcds[member].get_wrapped_container()

    def _asked(self) -> Daemon:
        if self._daemon is None:
            raise HarnessError("the cluster is not started")
        return self._daemon


def etcd_version(told: str, image: str) -> str:
    """Return the version in what ``etcd --version`` of an image has said. Raises InvalidScenario for what is no etcd >= 3.4."""
    found = version_in(told)
    if found is None:
        raise InvalidScenario(f"the image {image} holds no etcd server: `etcd --version` says {told.strip()[:80]!r}")
    if found.release < OLDEST:
        raise InvalidScenario(f"the image {image} holds etcd {found.text}; kchaos needs 3.4 or newer", hint=images.ETCD)
    return found.text


def listens(member: str) -> int:
    """Return the port of the proxies that lead to a member."""
    return FIRST_LISTEN + _number(member)


def _number(member: str) -> int:
    return int(member.removeprefix("m"))


def _text(container: Any) -> str:
    return bytes(container.logs()).decode(errors="replace")
