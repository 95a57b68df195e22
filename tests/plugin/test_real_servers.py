"""The fixtures of real servers in somebody's suite: one cluster per session and worker, and one sentence where a server is missing."""

from __future__ import annotations

import pytest

from kchaos.real.leases import home
from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]
SUITE = '''
import socket
import urllib.request


def port_of(cluster):
    return int(cluster.endpoint("m1").rpartition(":")[2])


def answers(cluster, member):
    with urllib.request.urlopen(f"http://{cluster.endpoint(member)}/health", timeout=5) as answer:
        return answer.status == 200


@pytest.mark.parametrize("n", range(4))
def test_the_cluster_serves(etcd_cluster, n, request):
    assert all(answers(etcd_cluster, member) for member in etcd_cluster.members)
    marked = getattr(request.config, "kchaos_seen", None)
    request.config.kchaos_seen = etcd_cluster
    assert marked in (None, etcd_cluster)


def test_a_member_comes_back(etcd_cluster):
    etcd_cluster.kill("m2")
    assert etcd_cluster.state("m2") == "exited"
    etcd_cluster.restart("m2")
    assert etcd_cluster.state("m2") == "running"


def test_toxiproxy_stands_between(etcd_cluster, toxiproxy):
    proxy = toxiproxy.create("one", "127.0.0.1:0", etcd_cluster.endpoint("m1"))
    host, _, port = proxy.listen.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    toxiproxy.enable("one", False)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
    toxiproxy.delete("one")
'''


@pytest.mark.needs("etcd", "toxiproxy")
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_one_cluster_for_a_session_and_worker_and_nothing_is_left(
    project: Project, workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(project.path / "state"))  # leases of tests beside this one are none of its business
    project.test(SUITE)
    result = project.run_apart(*workers)
    result.assert_outcomes(passed=6)
    assert list(home().iterdir()) == []


@pytest.mark.needs("etcd", "toxiproxy")
def test_the_size_can_be_chosen(project: Project) -> None:
    project.test("def test_alone(etcd_cluster):\n    assert etcd_cluster.members == ('m1',)\n")
    project.run_apart("--kchaos-etcd-members", "1").assert_outcomes(passed=1)


@pytest.mark.needs("etcd", "toxiproxy")
def test_logs_are_kept_if_a_test_fails_and_only_then(project: Project) -> None:
    project.test("def test_it(etcd_cluster):\n    pass\n")
    project.run_apart("--kchaos-etcd-members", "1").assert_outcomes(passed=1)
    assert not list((project.path / ".kchaos").glob("pytest/etcd-*"))
    project.test("def test_it(etcd_cluster):\n    assert False\n")
    project.run_apart("--kchaos-etcd-members", "1").assert_outcomes(failed=1)
    assert (project.path / ".kchaos" / "pytest" / "etcd-main" / "m1.log").stat().st_size > 0


def test_what_is_missing_is_one_sentence(project: Project) -> None:
    project.test("def test_it(etcd_cluster):\n    pass\n")
    result = project.run_apart("--kchaos-etcd-binary", "./no-such-etcd")
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "etcd_cluster: etcd ./no-such-etcd was not found: " in text and "Traceback" not in text


@pytest.mark.parametrize("option, said", [
    (("--kchaos-etcd-members", "2"), "a cluster of '2' can't be had (write 1, 3 or 5)"),
    (("--kchaos-etcd-backend", "vm"), "there is no 'vm' (write process or containers)"),
    (("--kchaos-etcd-image", "x"), "is for containers (add --kchaos-etcd-backend containers)"),
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(project: Project, option: tuple[str, ...], said: str) -> None:
    project.test("def test_it():\n    pass\n")
    result = project.run_apart(*option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR and said in result.stderr.str()
