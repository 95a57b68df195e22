"""The Docker daemon of this machine, asked so that every failure is one sentence and no request is ever cut off half-way.

Requests go out from worker threads: Ctrl-C interrupts only the waiting for them, so that what a request makes can still be found and removed.
All that is made here carries the label :data:`RUN` of its run, which that run's lease names; clean-up goes by it, with Ryuk or without.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import SESSION_ID

from kchaos.errors import HarnessError, InvalidScenario, KchaosError
from kchaos.real import orphans

T = TypeVar("T")
S = TypeVar("S")

RUN = "io.kchaos.run"
OWNER = "io.kchaos.owner"
"""Who started it, for people who look at `docker inspect`: host:pid."""
TIMEOUT_S = 60.0
"""How long the daemon may take for one answer; it takes well under a second, several on a machine that is busy."""
PULL_TIMEOUT_S = 300.0
_WORKERS = 8
_HERE = frozenset(("localhost", "127.0.0.1", "::1"))
_WHY = {
    "FileNotFoundError": "its socket does not exist",
    "Connection refused": "connection refused",
    "ConnectionRefusedError": "connection refused",
    "Name or service not known": "no such host",
    "timed out": "it took too long",
}
_ryuk_lock = threading.Lock()
OTHERWISE = "--backend process needs no Docker"


class Given(NamedTuple):
    """What a container is started with: ``ports`` maps its own ports to ports of 127.0.0.1, ``hosts`` names to addresses.

    ``entrypoint`` stands for the image's own, None leaves that. ``beside`` names a container whose addresses, ports and hosts it shares; then it
    has no network, aliases, hosts and ports of its own.
    """

    name: str
    image: str
    command: Sequence[str]
    network: str
    aliases: Sequence[str] = ()
    hosts: Mapping[str, str] = {}
    ports: Mapping[int, int] = {}
    entrypoint: Sequence[str] | None = None
    beside: str = ""


class Daemon:
    """One connection to Docker. Every method raises HarnessError; :meth:`close` ends it.

    ``run``, ``lease``: the id and the file of the lease of what is made by it, for its labels.
    """

    def __init__(self, run: str = "", lease: Path | None = None) -> None:
        self.labels = {RUN: run, OWNER: owner()}
        if lease is not None:
            self.labels |= {orphans.LEASE: str(lease.absolute()), orphans.PLACE: orphans.place()}
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kchaos-docker")
        self._containers: list[DockerContainer] = []
        try:
            self._tc = self._do("connect", lambda: _connect(TIMEOUT_S))
        except BaseException:
            self._pool.shutdown()
            raise

    @property
    def client(self) -> docker.DockerClient:
        """Return the client of docker-py, for questions that have no method here; put them through :meth:`ask`."""
        return self._tc.client

    def ask(self, doing: str, function: Callable[[], T]) -> T:
        """Run one request; ``doing`` completes the sentence "Docker could not …"."""
        return self._do(doing, function)

    def each(self, doing: str, function: Callable[[S], T], over: Iterable[S]) -> list[T]:
        """Run a request for each at the same time; waits until all have ended, then raises the first error."""
        futures = [self._submitted(doing, partial(function, one)) for one in over]
        return [future.result() for future in _ended(futures)]

    def version(self) -> str:
        """Return the daemon's version."""
        return str(self._do("tell its version", self.client.version)["Version"])

    def have(self, names: Iterable[str]) -> None:
        """Make sure that images are here; pull those that are not."""

        def have(image: str) -> None:
            try:
                self.client.images.get(image)
            except ImageNotFound:
                _pull(image)
            except APIError as error:
                if "invalid reference format" in str(error):
                    raise InvalidScenario(f"{image!r} is no name of an image", hint="write repository:tag, in small letters") from error
                raise

        self.each("look for an image", have, names)

    def network(self, name: str) -> str:
        """Make a network of bridges and return its name."""
        self._do("make a network", lambda: self.client.networks.create(name, driver="bridge", labels=self.labels))
        return name

    def start_all(self, given: Iterable[Given]) -> list[DockerContainer]:
        """Start several at the same time."""
        return self.each("start a container", self._start, given)

    def _start(self, given: Given) -> DockerContainer:
        container = DockerContainer(given.image, docker_client_kw={"timeout": TIMEOUT_S})
        self._containers.append(container)
        endpoint = self.client.api.create_endpoint_config(aliases=list(given.aliases))
        own = {"network": given.network, "networking_config": {given.network: endpoint}, "extra_hosts": dict(given.hosts)}
        shared = {"network_mode": f"container:{given.beside}"}
        container.with_name(given.name).with_command(list(given.command)).with_kwargs(
            **(shared if given.beside else own),
            labels=self.labels,
            entrypoint=given.entrypoint,
            log_config=LogConfig(type="json-file"),  # the daemon's own choice may be one whose logs can't be read
            use_config_proxy=False,  # a proxy of the user's is not for the members' connections to each other
        )
        ports: dict[str, Any] = container.ports  # testcontainers says None or a number; it hands on what docker-py takes, an address too
        ports.update({} if given.beside else {f"{inner}/tcp": ("127.0.0.1", outer) for inner, outer in given.ports.items()})
        return container.start()

    def remove(self, label: str) -> None:
        """Remove all that carries a label, ``key=value``: containers with their volumes, then networks.

        One after another: while two containers leave one network, Docker before 20.10.27 may lock up for good (moby issue 46661).
        """
        filters = {"label": label}
        for container in self._do("list containers", lambda: self.client.containers.list(all=True, filters=filters, ignore_removed=True)):
            self._do("remove a container", partial(_gone, partial(container.remove, force=True, v=True)))
        for network in self._do("list networks", lambda: self.client.networks.list(filters=filters)):
            self._do("remove a network", partial(_gone, network.remove))

    def remove_orphans(self) -> None:
        """Remove what runs have left whose owner is dead, and whose lease lies where no run sweeps, or is gone with its folder."""
        filters = {"label": orphans.LEASE}
        containers = self._do("list containers", lambda: self.client.api.containers(all=True, filters=filters))
        networks = self._do("list networks", lambda: self.client.api.networks(filters=filters))
        labels = [one["Labels"] for one in (*containers, *networks)]
        for orphan in orphans.candidates(labels, RUN, OWNER, orphans.place()):
            with orphans.dead(orphan) as is_dead:
                if is_dead:
                    self.remove(f"{RUN}={orphan.run}")
                    orphan.lease.unlink(missing_ok=True)

    def states(self, run: str) -> Mapping[str, str]:
        """Return the states of a run's containers by name, in Docker's words: created, running, paused, exited, dead."""
        filters = {"label": f"{RUN}={run}"}
        found = self._do("list containers", lambda: self.client.api.containers(all=True, filters=filters))
        return {one["Names"][0].removeprefix("/"): str(one["State"]) for one in found}

    def words(self, image: str, program: str, argument: str) -> str:
        """Run a program of an image to its end and return what it wrote."""

        def run() -> str:
            written = self.client.containers.run(
                image, [argument], entrypoint=[program], remove=True, stderr=True, network_disabled=True, labels=self.labels
            )
            return bytes(written).decode(errors="replace")

        return self._do(f"run {program} of {image}", run)

    def settle(self) -> None:
        """Wait until requests whose waiting was interrupted have ended, so that what they have made can be removed."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kchaos-docker")

    def close(self) -> None:
        """End all connections; may be called twice."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for container in self._containers:
            container.get_docker_client().client.close()
        self.client.close()

    def _do(self, doing: str, function: Callable[[], T]) -> T:
        return self._submitted(doing, function).result()

    def _submitted(self, doing: str, function: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(guarded, doing, function)
        except RuntimeError as error:  # another thread has stopped the cluster meanwhile
            raise HarnessError(f"Docker could not {doing}: the cluster is being stopped") from error


def _pull(image: str) -> None:
    client = _connect(PULL_TIMEOUT_S).client
    try:
        client.images.pull(image)
    except (DockerException, requests.RequestException) as error:
        raise HarnessError(
            f"the image {image} is not on this machine and can't be pulled ({_words(error)}): see that `docker pull {image}` works; "
            f"in a checkout of kchaos on Debian, `make tools` makes the images that are run by default"
        ) from error
    finally:
        client.close()


def _ended(futures: Sequence[Future[T]]) -> Iterator[Future[T]]:
    for future in futures:
        future.exception()  # waits, and does not raise
    yield from futures


def guarded(doing: str, function: Callable[[], T]) -> T:
    """Run a request; what goes wrong is a HarnessError whose sentence has ``doing`` in it."""
    try:
        return function()
    except KchaosError:
        raise
    except NotFound as error:
        raise HarnessError(f"Docker could not {doing}: it was removed by someone else ({_words(error)})") from error
    except APIError as error:
        raise HarnessError(f"Docker could not {doing}: {_reason(_words(error))}") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise HarnessError(f"the Docker daemon no longer answers: it could not {doing} ({_words(error)})") from error


def _gone(remove: Callable[[], None]) -> None:
    """Remove something; that someone else was faster is no error (409: a removal is in progress)."""
    try:
        remove()
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != requests.codes.conflict or "already in progress" not in str(error):
            raise


def _words(error: Exception) -> str:
    told = str(error.explanation) if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(told.split()).removesuffix(".")[:300]


def _reason(words: str) -> str:
    """Tell the common reasons in words that say what to do."""
    if "already in use" in words or "already allocated" in words:
        return f"a port that it publishes is taken by another program ({words})"
    if "no space left on device" in words:
        return f"the disk that holds Docker's data is full; free some, as by `docker system prune` ({words})"
    if "executable file not found" in words or "no such file or directory" in words:
        return f"the image holds no such program; is it an image of etcd or Toxiproxy? ({words})"
    return words


def owner() -> str:
    """Return what :data:`OWNER` says of what this process starts."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _connect(timeout_s: float) -> DockerClient:
    try:
        client = DockerClient(timeout=timeout_s)
    except (DockerException, requests.RequestException, OSError) as error:
        installed = shutil.which("docker") is not None or shutil.which("dockerd") is not None
        raise HarnessError(unavailable(str(error), installed, os.environ.get("DOCKER_HOST", ""))) from error
    host = client.host()
    if host not in _HERE:
        client.client.close()
        raise HarnessError(f"the Docker daemon is on another host, {host}: not supported, ports are published on 127.0.0.1 ({OTHERWISE})")
    return client


def unavailable(words: str, installed: bool, host: str) -> str:
    """Return the sentence that says why Docker can't be had, and how it can.

    ``words``: what the client library said; ``host``: DOCKER_HOST, "" if it is not set.
    """
    where = f" at DOCKER_HOST={host}" if host else ""
    if "Permission denied" in words or "PermissionError" in words:
        return f"the Docker daemon{where} may not be used by this user: run as root, or join the group docker; {OTHERWISE}"
    if not installed and not host:
        return (
            "Docker is not installed: install Docker Engine (on Debian as root `apt-get install docker.io`, "
            f"or `make tools` in a checkout of kchaos); {OTHERWISE}"
        )
    why = next((told for sign, told in _WHY.items() if sign in words), " ".join(words.split())[:200])
    advice = "see that DOCKER_HOST is right" if host else "start it (`systemctl start docker`, or `dockerd` as root)"
    return f"the Docker daemon{where} does not answer ({why}): {advice}; {OTHERWISE}"


@contextlib.contextmanager
def ryuk(daemon: Daemon) -> Iterator[bool]:
    """Let Ryuk watch over what is started meanwhile, where its image can be had; elsewhere testcontainers does without it meanwhile.

    Yields whether it watches. A setting of the user's that turns it off is left as it is. It is started here, so that a Ryuk that does not
    come up is removed again, and not left half-started.
    """
    with _ryuk_lock:
        before = testcontainers_config.ryuk_disabled
        watches = not before and daemon.ask("start Ryuk", _start_ryuk(daemon))
        testcontainers_config.ryuk_disabled = not watches
        try:
            yield watches
        finally:
            testcontainers_config.ryuk_disabled = before


def _start_ryuk(daemon: Daemon) -> Callable[[], bool]:
    def start() -> bool:
        image = testcontainers_config.ryuk_image
        try:
            try:
                daemon.client.images.get(image)
            except ImageNotFound:
                daemon.client.images.pull(image)
        except (DockerException, requests.RequestException):
            return False
        try:
            Reaper.get_instance()
        except Exception:  # whatever keeps it from coming up (docker, sockets, its own time-outs): the run does without it
            Reaper.delete_instance()
            with contextlib.suppress(NotFound):
                daemon.client.containers.get(f"testcontainers-ryuk-{SESSION_ID}").remove(force=True, v=True)
            return False
        return True

    return start
