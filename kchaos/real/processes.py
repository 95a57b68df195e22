"""A cluster of local processes: any etcd binary, no root, no Docker; what each member sends to each peer goes through a proxy of its own.

Members advertise addresses that exist nowhere (192.0.2.0/24, RFC 5737 TEST-NET-1), and dial their peers through a SOCKS5 front
(:mod:`kchaos.real.socks`), to which each has a port of its own. So the front knows who dials whom, and hands the connection to Toxiproxy's
proxy of that directed pair, which forwards it to where the peer really listens. Why so: docs/adr/0007-peer-proxies-of-processes.md.
"""

from __future__ import annotations

import atexit
import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kchaos.errors import HarnessError
from kchaos.real import binaries
from kchaos.real.base import Base, from_outside, held
from kchaos.real.leases import Hook, Lease, remove, sweep
from kchaos.real.links import ToxicLinks
from kchaos.real.logs import TAKEN, exited, reason
from kchaos.real.ports import HOST, Ports
from kchaos.real.toxiproxy import Toxiproxy
from kchaos.real.traffic import Traffic

PEER_PORT = 2380
READY_WITHIN_S = 30.0
POLL_S = 0.01
RECOVERS_WITHIN_S = 0.5
"""How long a restarted member is looked on while it reads its data (measured: 10 to 25 ms for little of it) before it is let alone."""
STARTED = "became follower at term"
"""In the log of a member that has begun with Raft. Before that a new member asks each peer for the cluster that it may belong to already
(etcd: isMemberBootstrapped), and a peer that listens but does not serve yet costs it a second; one that refuses costs it nothing."""
TRIES = 3
"""Starts with new ports, if another program was quicker to take one."""
FLAGS = (
    # etcd's own defaults, written out since elections and the settling time of a run depend on them
    "--heartbeat-interval", "100", "--election-timeout", "1000", "--initial-election-tick-advance=true",
    # one JSON object a line on stderr, elections among them (3.4's default is another format)
    "--logger", "zap", "--log-outputs", "stderr", "--log-level", "info",
)  # fmt: skip


def address(index: int) -> str:
    """Return the address that member number ``index`` (from 1) advertises to its peers."""
    return f"192.0.2.{index}"


class _Taken(HarnessError):
    """Another program has taken a port between its choice and its use."""


class Member:
    """One etcd server: what it is started with, and the process that runs now, if one does."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path, client: int) -> None:
        self.name = name
        self.command = tuple(command)
        self.environ = dict(environ)
        self.log = log
        self.client = client
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self.killed = False


class ProcessCluster(Base):
    """Implements :class:`kchaos.real.cluster.Cluster` on local processes.

    ``binary`` and ``toxiproxy`` are paths, or names on PATH. ``hook`` removes what dead runs of the other backend have left, by label.
    """

    def __init__(
        self, size: int = 3, binary: str = "etcd", *, toxiproxy: str = "toxiproxy-server", flags: Sequence[str] = (), hook: Hook | None = None
    ) -> None:
        super().__init__(size, flags)
        self._binary = binary
        self._toxiproxy = toxiproxy
        self._hook = hook
        self._forget()

    def _forget(self) -> None:
        self._lease: Lease | None = None
        self._folder: Path | None = None
        self._ports = Ports()
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._running: dict[str, Member] = {}
        self._links = None

    # start and stop

    def start(self) -> None:
        """As in :class:`Base`."""
        if self._lease is not None:
            raise HarnessError("the cluster is started already")
        path, version = binaries.etcd(self._binary)
        server = binaries.toxiproxy(self._toxiproxy)
        sweep(hook=self._hook)
        for attempt in range(TRIES):
            try:
                atexit.register(self.stop)
                self._start(path, server)
                self._versions |= {"etcd": version, "backend": "process"}
                return
            except HarnessError as error:
                self._clean()
                taken = isinstance(error, _Taken) or TAKEN in str(error)  # the second in Toxiproxy's words, of one of its proxies
                if not taken or attempt == TRIES - 1:
                    raise
            except OSError as error:
                self._clean()
                raise HarnessError(f"the cluster can't be started: {error.strerror or error} ({error.filename or 'no file'})") from error
            except BaseException:  # Ctrl-C included, at any moment
                self._clean()
                raise

    def stop(self) -> None:
        """Leave no process, port or directory; may be called twice, and after a start that failed."""
        if self._elsewhere():
            return
        with self._lock:
            if self._lease is None:
                return
            try:
                self._end_all()
            finally:
                self._clean()

    def _end_all(self) -> None:
        """Kill all that are known, at once, then wait for each."""
        processes = [member.process for member in self._running.values() if member.process is not None]
        processes += self._parts.values()
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            if process.stdout is not None:
                process.stdout.close()

    def _clean(self) -> None:
        """Remove whatever there is of the cluster, also what a start that was broken off has not written down yet."""
        lease, folder, ports = self._lease, self._folder, self._ports
        try:
            self._end_all()
            if lease is not None:
                lease.clean(self._hook)
            if folder is not None:
                remove(folder)
        finally:
            ports.close()
            self._forget()
            atexit.unregister(self.stop)

    def _start(self, etcd: str, server: str) -> None:
        lease = self._lease = Lease()
        folder = self._folder = Path(tempfile.gettempdir()).absolute() / f"kchaos-etcd-{lease.id}"
        lease.own_folder(folder)
        front = self._run("front", [sys.executable, "-m", "kchaos.real.socks"], subprocess.PIPE, subprocess.PIPE)
        api = self._ports.take()
        self._run("toxiproxy", [server, "-host", HOST, "-port", str(api), "-proxy-metrics"], extra={"LOG_LEVEL": "warn"})
        peers = {name: self._ports.take() for name in self.members}
        clients = {name: self._ports.take() for name in self.members}
        toxiproxy = Toxiproxy(HOST, api)
        self._versions["toxiproxy"] = self._wait_for_toxiproxy(toxiproxy)
        pairs = [(a, b) for a in self.members for b in self.members if a != b]
        proxies = {(a, b): toxiproxy.create(f"{a}-{b}", f"{HOST}:{self._ports.take()}", f"{HOST}:{peers[b]}") for a, b in pairs}
        self._links = ToxicLinks(
            {pair: (toxiproxy, proxy.name) for pair, proxy in proxies.items()},
            Traffic({name: f"{HOST}:{port}" for name, port in clients.items()}),
            lambda name: self._running[name].paused,
        )
        routes = {
            a: {
                f"{address(index)}:{PEER_PORT}": peers[b] if a == b else int(proxies[a, b].listen.rpartition(":")[2])
                for index, b in enumerate(self.members, 1)
            }
            for a in self.members
        }
        fronts = self._wait_for_front(front, routes)
        everyone = ",".join(f"{name}=http://{address(index)}:{PEER_PORT}" for index, name in enumerate(self.members, 1))
        for index, name in enumerate(self.members, 1):
            command = [
                etcd, "--name", name, "--data-dir", str(folder / name),
                "--listen-peer-urls", f"http://{HOST}:{peers[name]}", "--initial-advertise-peer-urls", f"http://{address(index)}:{PEER_PORT}",
                "--listen-client-urls", f"http://{HOST}:{clients[name]}", "--advertise-client-urls", f"http://{HOST}:{clients[name]}",
                "--initial-cluster", everyone, "--initial-cluster-token", lease.id, "--initial-cluster-state", "new",
                *FLAGS, *self._flags,
            ]  # fmt: skip
            # http only: etcd's own client connections, and gRPC, look at HTTPS_PROXY
            environ = {**binaries.environment(), **lease.environment(), "HTTP_PROXY": f"socks5://{HOST}:{fronts[name]}"}
            self._running[name] = Member(name, command, environ, folder / f"{name}.log", clients[name])
        for member in self._running.values():
            self._launch(member)
        self._wait_for_members(lambda member: STARTED in self._text(member.name))
        self._tell_front(front, "open")  # its answer need not be waited for: members dial again
        self._wait_for_members(lambda member: reads(HOST, member.client))

    def _run(
        self, name: str, command: Sequence[str], stdin: int = subprocess.DEVNULL, stdout: int | None = None, extra: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one of the helpers; its log is ``name.log``."""
        assert self._lease is not None and self._folder is not None
        with (self._folder / f"{name}.log").open("ab") as log:
            environ = {**binaries.environment(), **self._lease.environment(), **(extra or {})}
            process = subprocess.Popen(
                command, stdin=stdin, stdout=log if stdout is None else stdout, stderr=log, env=environ, start_new_session=True
            )
        self._parts[name] = process
        self._lease.own_process(process.pid)
        return process

    def _launch(self, member: Member) -> None:
        assert self._lease is not None and self._folder is not None
        with member.log.open("ab") as log:
            # a session of its own: Ctrl-C in a terminal is for kchaos, which then ends its members
            member.process = subprocess.Popen(
                member.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=member.environ, cwd=self._folder, start_new_session=True
            )
        member.paused = member.killed = False
        self._lease.own_process(member.process.pid)

    def _wait_for_toxiproxy(self, toxiproxy: Toxiproxy) -> str:
        process = self._parts["toxiproxy"]
        host, _, port = toxiproxy.address.rpartition(":")

        def ready() -> bool:
            if process.poll() is not None:
                self._ended("Toxiproxy", "toxiproxy")
            return _listens(host, int(port))

        _until(ready, "Toxiproxy does not answer")
        if process.poll() is not None:  # another program answered on its port
            self._ended("Toxiproxy", "toxiproxy")
        return toxiproxy.version()

    def _tell_front(self, front: subprocess.Popen[bytes], line: str) -> None:
        assert front.stdin is not None
        try:
            front.stdin.write(line.encode() + b"\n")
            front.stdin.flush()
        except BrokenPipeError:
            self._ended("the SOCKS front", "front")

    def _wait_for_front(self, front: subprocess.Popen[bytes], routes: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
        assert front.stdout is not None
        self._tell_front(front, json.dumps(routes))
        line = front.stdout.readline()
        if not line:
            self._ended("the SOCKS front", "front")
        ports: dict[str, int] = json.loads(line)
        return ports

    def _ended(self, what: str, log: str) -> None:
        why = reason(self._text(log))
        raise (_Taken if "taken by another program" in why else HarnessError)(f"{what} has ended: {why}")

    def _wait_for_members(self, good: Callable[[Member], bool]) -> None:
        waiting = dict(self._running)

        def ready() -> bool:
            for name, member in tuple(waiting.items()):
                if member.process is not None and member.process.poll() is not None:
                    self._ended(f"etcd {name}", name)
                if good(member):
                    del waiting[name]
            return not waiting

        try:
            _until(ready, "")
        except TimeoutError:
            names = ", ".join(waiting)
            told = reason(self._text(next(iter(waiting))))
            raise HarnessError(f"etcd {names} serves nobody {READY_WITHIN_S:g} s after its start; the last it said: {told}") from None

    # members

    def endpoint(self, member: str) -> str:
        """Return where clients reach it, host:port; the same over restarts."""
        return f"{HOST}:{self._member(member).client}"

    def kill(self, member: str) -> None:
        """SIGKILL it, and wait until it is gone; nothing happens if it does not run."""
        with self._lock:
            process = self._process(member)
            if process.poll() is None:  # who is dead already was killed by another
                self._member(member).killed = True
            process.kill()
            process.wait()

    def restart(self, member: str) -> None:
        """Start a member that does not run with its data; returns when it has read that. Raises HarnessError if it exits at once."""
        with self._lock:
            found = self._member(member)
            if self._process(member).poll() is None:
                return
            before = found.log.stat().st_size
            self._launch(found)
            process = self._process(member)

            def ready() -> bool:
                ended = process.poll() is not None
                with found.log.open("rb") as log:
                    log.seek(before)
                    text = log.read().decode(errors="replace")
                if ended:
                    raise exited(member, text)
                return STARTED in text

            with suppress(TimeoutError):  # much data, a slow machine: whoever needs it to serve asks it
                _until(ready, "", RECOVERS_WITHIN_S)

    def pause(self, member: str) -> None:
        """SIGSTOP it, and wait until it stands; nothing happens if it does not run."""
        self._signal(member, signal.SIGSTOP, True)

    def resume(self, member: str) -> None:
        """SIGCONT it; nothing happens if it does not run."""
        self._signal(member, signal.SIGCONT, False)

    def _signal(self, member: str, number: int, stopped: bool) -> None:
        import psutil

        with self._lock:
            process = self._process(member)
            if process.poll() is not None:
                return
            process.send_signal(number)
            self._member(member).paused = stopped
            with suppress(psutil.NoSuchProcess, TimeoutError):
                seen = psutil.Process(process.pid)
                _until(lambda: (seen.status() == psutil.STATUS_STOPPED) == stopped, "", 1.0)

    def state(self, member: str) -> str:
        """Return running, paused or exited. Raises HarnessError if what stands between the members has ended."""
        found = self._member(member)
        for name, process in self._parts.items():
            if process.poll() is not None:
                raise HarnessError(f"{name} of the cluster has ended by itself: {reason(self._text(name))}")
        if self._process(member).poll() is not None:
            return "exited"
        return "paused" if found.paused else "running"

    def disturbed(self, member: str) -> str:
        """As in :class:`kchaos.real.cluster.Cluster`."""
        import psutil

        with self._lock:
            found, process = self._member(member), self._process(member)
            code = process.poll()
            if code is not None:
                return "" if found.killed else from_outside(member, code)
            with suppress(psutil.NoSuchProcess):
                if not found.paused and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                    return held(member)
            return ""

    def log(self, member: str) -> str:
        """Return what it wrote, over all its starts."""
        return self._text(self._member(member).name)

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        """Copy the logs of all members and proxies into a folder, which is made if need be."""
        if self._folder is None:
            raise HarnessError("the cluster is not started, and has no logs")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return [Path(shutil.copy2(path, folder)) for path in sorted(self._folder.glob("*.log"))]
        except OSError as error:
            raise HarnessError(f"the logs can't be kept in {folder}: {error.strerror}") from error

    def _text(self, name: str) -> str:
        if self._folder is None:
            raise HarnessError("the cluster is not started, and has no logs")
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _member(self, member: str) -> Member:
        self._known(member)
        if member not in self._running:
            raise HarnessError("the cluster is not started")
        return self._running[member]

    def _process(self, member: str) -> subprocess.Popen[bytes]:
        process = self._member(member).process
        if process is None:
            raise HarnessError("the cluster is not started")
        return process


def _until(ready: Callable[[], bool], late: str, within_s: float = 0.0) -> None:
    """Ask until it is so. Raises HarnessError(late) after that time (0: :data:`READY_WITHIN_S`), TimeoutError if ``late`` is empty."""
    within_s = within_s or READY_WITHIN_S
    until = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > until:
            raise HarnessError(f"{late} within {within_s:g} s") if late else TimeoutError
        time.sleep(POLL_S)


def _listens(host: str, port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def reads(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether a member answers a linearizable read: a quorum has a leader, and this member has caught up with it."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("POST", "/v3/kv/range", b'{"key":"AA=="}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):  # not yet listening, not yet serving
        return False
    else:
        return answer.status == 200
    finally:
        connection.close()
