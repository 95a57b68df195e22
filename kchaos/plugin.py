"""The pytest plugin: options, ``@chaos`` with its fixture ``run``, the fixture ``cluster``, one report per session. See docs/pytest.md.

pytest loads this module in every project where kchaos is installed: it imports nothing of kchaos but names and options until a test
asks for an answer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from kchaos.testing.marks import MARK, Asked
from kchaos.testing.options import OUT, Options, add_options, read_options
from kchaos.testing.session import ATTRIBUTE, Session, begin, no_owner

if TYPE_CHECKING:
    from kchaos.real.cluster import Cluster
    from kchaos.real.toxiproxy import Toxiproxy
    from kchaos.testing.cluster import SimulatedCluster
    from kchaos.testing.run import ChaosRun

_OPTIONS = pytest.StashKey[Options]()
_ANSWERS = pytest.StashKey[dict[Any, "ChaosRun"]]()
"""Answers by question: tests that ask the same share one campaign."""
_RUN = pytest.StashKey["ChaosRun"]()
_TOLD = pytest.StashKey[dict[str, Any] | None]()
"""What the next report of a test carries to where the session is led."""
_CLUSTER = pytest.StashKey["SimulatedCluster"]()
_IMAGES = pytest.StashKey[dict[Any, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and declare the mark."""
    config.addinivalue_line("markers", f"{MARK}: a campaign of kchaos over manifests; put there by @chaos(...)")
    options = read_options(config)
    config.stash[_OPTIONS] = options
    config.stash[_ANSWERS] = {}
    config.stash[_IMAGES] = {}
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist has somebody else to lead
        config.pluginmanager.register(Session(options), "kchaos-session")


# -- what is collected -------------------------------------------------------------------------------------------------


def _name(item: pytest.Item) -> tuple[str, pytest.Mark] | None:
    """Return by what name an item's campaign is known, and its mark: that of the function, class or module that has the mark."""
    for node, mark in item.iter_markers_with_node(MARK):
        if node is not item:
            return node.nodeid, mark
        spec = getattr(item, "callspec", None)
        own = spec is not None and mark in spec.marks
        return (item.nodeid if own or spec is None else item.nodeid.removesuffix(f"[{spec.id}]")), mark
    return None


def _machine(item: pytest.Item) -> Any:
    """Return the test case of a ClusterMachine, None for any other test."""
    case = getattr(item, "cls", None)
    return case if getattr(case, "kchaos_machine", None) is not None else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --kchaos-replay: leave only the tests to which the scenario belongs."""
    options = config.stash[_OPTIONS]
    if options.replay is None:
        return
    from kchaos.testing.asking import owners

    names = {item: found[0] for item in items if (found := _name(item)) is not None}
    names |= {item: item.nodeid for item in items if _machine(item) is not None}
    mine = owners(options.replay, list(names.values()))
    kept = [item for item in items if names.get(item) in mine]
    if not kept and not hasattr(config, "workerinput"):  # a worker can't tell anybody: the session's summary does
        raise pytest.UsageError(f"--kchaos-replay: {no_owner(options.replay)}")
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


# -- run ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kchaos_run(request: pytest.FixtureRequest) -> ChaosRun:
    """The answer of the test's ``@chaos`` campaign."""
    found = _name(request.node) if isinstance(request.node, pytest.Item) else None
    if found is None:
        pytest.fail('`run` is the answer of a campaign: decorate the test with @chaos("deploy/*.yaml")', pytrace=False)
    return _answer(request.node, *found)


@pytest.fixture
def run(kchaos_run: ChaosRun) -> ChaosRun:
    """The answer of the test's ``@chaos`` campaign: ``.verdict``, ``.findings``, ``.history``."""
    return kchaos_run


def _answer(item: pytest.Item, name: str, mark: pytest.Mark) -> ChaosRun:
    __tracebackhide__ = True
    from kchaos.errors import InvalidScenario
    from kchaos.testing.asking import Place, ask

    asked: Asked = mark.args[0]
    known, key = item.config.stash[_ANSWERS], (name, asked)
    told: dict[str, Any] = {"name": name}
    if key not in known:
        begin(item.config, item.nodeid)
        try:
            known[key] = ask(asked, item.config.stash[_OPTIONS], Place(name, item.path.parent, item.config.rootpath))
        except InvalidScenario as error:
            raise pytest.fail.Exception(f"@chaos: {error}", pytrace=False) from None
        told |= known[key].plain()
    found = known[key].again()
    item.stash[_RUN] = found
    item.stash[_TOLD] = told
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hand the options to a state machine; refuse a ``@chaos`` test that would never look at its campaign."""
    machine = _machine(item)
    if machine is not None:
        from kchaos.testing.machines import wish

        machine.kchaos_wish = wish(item.config.stash[_OPTIONS])
    found = _name(item)
    if found is not None and "kchaos_run" not in getattr(item, "fixturenames", ()):
        hidden = "run" in getattr(item, "fixturenames", ())
        why = "your own fixture `run` hides that of kchaos: take `kchaos_run`" if hidden else "write `def test_…(run):`"
        pytest.fail(f"a @chaos test takes its answer as `run`: {why}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose campaign failed and whose body did not look."""
    result = yield
    found = item.stash.get(_RUN, None)
    if found is not None and not found.judged and not found.passed:
        pytest.fail(str(found), pytrace=False)
    return result


# -- reports -----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a failure's text end with how to see it again, and let the report carry what the campaign came to."""
    report = yield
    told = item.stash.get(_TOLD, None)
    if call.when == "call" and _machine(item) is not None:
        from kchaos.testing.machines import plain

        told = plain(item.nodeid, call.excinfo.value if call.excinfo is not None else None)
    if told is not None:
        setattr(report, ATTRIBUTE, told)
        item.stash[_TOLD] = None
    if call.when == "call" and report.failed:
        run, cluster = item.stash.get(_RUN, None), item.stash.get(_CLUSTER, None)
        for text in (run.told() if run is not None else "", cluster.told() if cluster is not None else ""):
            _add(report, text)
    return report


def _add(report: pytest.TestReport, text: str) -> None:
    """Put text at the end of a failure, unless it stands there already."""
    longrepr: Any = report.longrepr
    if not text or text in str(longrepr):
        return
    if hasattr(longrepr, "addsection"):
        longrepr.addsection("kchaos", text)
    else:
        report.sections.append(("kchaos", text))


# -- cluster -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kchaos_cluster(request: pytest.FixtureRequest) -> Iterator[SimulatedCluster]:
    """A simulated cluster of the test's own, started when it is first used."""
    from kchaos.testing.cluster import SimulatedCluster
    from kchaos.testing.files import Files

    config, item = request.config, request.node
    files = Files(item.path.parent, config.rootpath)
    seed = config.stash[_OPTIONS].seed
    made = SimulatedCluster(files, config.stash[_IMAGES], seed=seed, name=item.nodeid, out=config.rootpath / OUT)
    item.stash[_CLUSTER] = made
    yield made
    made.close()


@pytest.fixture
def cluster(kchaos_cluster: SimulatedCluster) -> SimulatedCluster:
    """A simulated cluster: apply objects, advance time, inject a fault, assert."""
    return kchaos_cluster


# -- real servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def etcd_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real etcd cluster with Toxiproxy between its members, one for each session (and each worker of pytest-xdist); see docs/pytest.md."""
    from kchaos.testing.real import look_back, refused

    asked = request.config.stash[_OPTIONS].etcd
    with refused("etcd_cluster"):
        from kchaos.fixtures.etcd import etcd_cluster as running

        context = running(asked.backend, asked.members, binary=asked.binary, image=asked.image)
        found = context.__enter__()
    failed = request.session.testsfailed
    try:
        yield found
        worker = getattr(request.config, "workerinput", {"workerid": "main"})["workerid"]
        look_back(found, request.config.rootpath / OUT / f"etcd-{worker}", failed=request.session.testsfailed > failed)
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def toxiproxy(request: pytest.FixtureRequest) -> Iterator[Toxiproxy]:
    """A real Toxiproxy server, one for each session (and each worker of pytest-xdist)."""
    from kchaos.testing.real import refused

    with refused("toxiproxy"):
        from kchaos.fixtures.etcd import toxiproxy as running

        context = running()
        found = context.__enter__()
    try:
        yield found
    finally:
        context.__exit__(None, None, None)
