"""Each check of Pod Security on the smallest pod that misses it, and on one that just does not; the texts count one and several."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.security.podsecurity import Level, evaluate

Obj = dict[str, Any]


def _container(name: str = "app", **more: Any) -> Obj:
    return {"name": name, **more}


def _context(name: str = "app", **more: Any) -> Obj:
    return _container(name, securityContext=more)


def _pod(*containers: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "web"}, "spec": {"containers": list(containers) or [_container()], **spec}}


def _told(pod: Obj, reason: str, level: str = "baseline", version: str = "latest") -> str | None:
    """Return the detail of a reason, None if the pod does not miss that check."""
    return dict(evaluate(pod, Level(level, version))).get(reason)


def _ports(*numbers: int) -> list[Obj]:
    return [{"containerPort": 80, "hostPort": number} for number in numbers]


BASELINE = [
    ("hostPort", _pod(_container(ports=_ports(80))), 'container "app" uses hostPort 80'),
    ("hostPort", _pod(_container(ports=_ports(80, 443))), 'container "app" uses hostPorts 80, 443'),
    ("hostPort", _pod(_container("a", ports=_ports(80)), _container("b", ports=_ports(80))), 'containers "a", "b" use hostPort 80'),
    ("hostPort", _pod(_container(ports=[{"containerPort": 80}])), None),
    ("privileged", _pod(_context(privileged=True)), 'container "app" must not set securityContext.privileged=true'),
    ("privileged", _pod(_context(privileged=False)), None),
    ("host namespaces", _pod(hostPID=True, hostIPC=True), "hostPID=true, hostIPC=true"),
    ("hostPath volumes", _pod(volumes=[{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]), 'volumes "a", "b"'),
    ("seLinuxOptions", _pod(_context(seLinuxOptions={"type": "mine"})), 'container "app" set forbidden securityContext.seLinuxOptions: type "mine"'),
    ("seLinuxOptions", _pod(_context(seLinuxOptions={"type": "a"}), _context("b", seLinuxOptions={"type": "b"})),
     'containers "app", "b" set forbidden securityContext.seLinuxOptions: types "a", "b"'),
    ("seLinuxOptions", _pod(securityContext={"seLinuxOptions": {"user": "me"}}),
     "pod set forbidden securityContext.seLinuxOptions: user may not be set"),
    ("seLinuxOptions", _pod(_context(seLinuxOptions={"role": "r"})),
     'container "app" set forbidden securityContext.seLinuxOptions: role may not be set'),
    ("seLinuxOptions", _pod(_context(seLinuxOptions={"type": "container_t", "level": "s0"})), None),
    ("probe or lifecycle host", _pod(_container(livenessProbe={"httpGet": {"host": "x"}})), 'container "app" uses probe or lifecycle host "x"'),
    ("probe or lifecycle host",
     _pod(_container("a", startupProbe={"tcpSocket": {"host": "x"}}), _container("b", lifecycle={"preStop": {"httpGet": {"host": "y"}}})),
     'containers "a", "b" use probe or lifecycle hosts "x", "y"'),
    ("probe or lifecycle host", _pod(_container(livenessProbe={"httpGet": {"port": 80}})), None),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "pod", "told"), BASELINE)
def test_baseline(reason: str, pod: Obj, told: str | None) -> None:
    assert _told(pod, reason) == told


def test_what_newer_versions_allow_or_forbid() -> None:
    engine = _pod(_context(seLinuxOptions={"type": "container_engine_t"}))
    assert (_told(engine, "seLinuxOptions"), _told(engine, "seLinuxOptions", version="v1.30") is None) == (None, False)
    probed = _pod(_container(readinessProbe={"httpGet": {"host": "x"}}))
    assert _told(probed, "probe or lifecycle host", version="v1.33") is None


NOT_FALSE = "must not set securityContext.runAsNonRoot=false"
NON_ROOT = [
    (_pod(), 'pod or container "app" must set securityContext.runAsNonRoot=true'),
    (_pod(_context(runAsNonRoot=True)), None),
    (_pod(_container(), _context("b", runAsNonRoot=True)), 'pod or container "app" must set securityContext.runAsNonRoot=true'),
    (_pod(securityContext={"runAsNonRoot": True}), None),
    (_pod(_context(runAsNonRoot=False), securityContext={"runAsNonRoot": True}), f'container "app" {NOT_FALSE}'),
    (_pod(securityContext={"runAsNonRoot": False}), f"pod {NOT_FALSE}"),
    (_pod(_context(runAsNonRoot=True), securityContext={"runAsNonRoot": False}), None),
    (_pod(_context(runAsNonRoot=False), _context("b", runAsNonRoot=False)), f'containers "app", "b" {NOT_FALSE}'),
]


@pytest.mark.parametrize(("pod", "told"), NON_ROOT)
def test_not_as_root(pod: Obj, told: str | None) -> None:
    """A container's own word counts before the pod's."""
    assert _told(pod, "runAsNonRoot != true", "restricted") == told


def test_volumes_of_restricted_pods() -> None:
    """What is left out of them is told by the volume and by its type."""

    def told(*kinds: str) -> str | None:
        volumes = [{"name": f"v{index}", kind: {}} for index, kind in enumerate(kinds)]
        return _told(_pod(volumes=volumes), "restricted volume types", "restricted")

    assert told("emptyDir", "secret") is None
    assert told("emptyDir", "nfs") == 'volume "v1" uses restricted volume type "nfs"'
    assert told("nfs", "nfs") == 'volumes "v0", "v1" use restricted volume type "nfs"'
    assert told("nfs", "iscsi") == 'volumes "v0", "v1" use restricted volume types "iscsi", "nfs"'


def test_uids_of_restricted_pods() -> None:
    assert _told(_pod(_context(runAsUser=0)), "runAsUser=0", "restricted") == 'container "app" must not set runAsUser=0'
    assert _told(_pod(securityContext={"runAsUser": 0}), "runAsUser=0", "restricted") == "pod must not set runAsUser=0"
    assert _told(_pod(_context(runAsUser=1)), "runAsUser=0", "restricted") is None
