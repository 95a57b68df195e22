"""The plugin's options: ``--kchaos-…`` on the command line, some of them in pytest's ini file too; checked before anything is collected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pytest

BACKENDS = ("simulated",)
REPORTS = (".html", ".json")
CORPUS = "kchaos-corpus"
OUT = ".kchaos/pytest"
"""Where what a session writes goes, from rootdir on."""
REPORT = f"{OUT}/report.html"


ETCD_BACKENDS = ("process", "containers")
ETCD_SIZES = ("1", "3", "5")


class EtcdOptions(NamedTuple):
    """What the fixture ``etcd_cluster`` is."""

    backend: str = "process"
    members: int = 3
    binary: str | None = None
    image: str | None = None


class Options(NamedTuple):
    """What the whole session was asked for. None: each test has its own."""

    corpus: Path
    reports: tuple[Path, ...]
    seed: int | None = None
    budget: str | None = None
    replay: Path | None = None
    etcd: EtcdOptions = EtcdOptions()


def add_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("kchaos", "chaos and property tests of Kubernetes manifests (kchaos)")
    group.addoption("--kchaos-seed", metavar="N", help="seed of all @chaos tests, clusters and state machines, instead of their own")
    group.addoption(
        "--kchaos-budget", metavar="N|30s|2m",
        help="examples of each @chaos test, instead of its own (level 1 runs whole), or for how long it may search",
    )  # fmt: skip
    group.addoption("--kchaos-replay", metavar="FILE", help="run only this scenario, in the test that found it")
    group.addoption("--kchaos-backend", metavar="NAME", default="simulated", help="what tests run on: simulated (the only one so far)")
    group.addoption("--kchaos-corpus", metavar="DIR", help=f"where failures are kept, to be tried first next time (default: {CORPUS})")
    group.addoption(
        "--kchaos-report", metavar="FILE", action="append", default=[],
        help=f"report of the session, .html or .json, may be repeated; none: no report (default: {REPORT})",
    )  # fmt: skip
    group.addoption("--kchaos-etcd-backend", metavar="NAME", default="process", help="what `etcd_cluster` runs on: process (default) or containers")
    group.addoption("--kchaos-etcd-members", metavar="N", default="3", help="members of `etcd_cluster`: 1, 3 (default) or 5")
    group.addoption("--kchaos-etcd-binary", metavar="PATH", help="the etcd of `etcd_cluster` as processes (default: etcd on PATH)")
    group.addoption("--kchaos-etcd-image", metavar="NAME", help="the image of `etcd_cluster` in containers (default: the official one)")
    parser.addini("kchaos_corpus", "where failures of @chaos tests are kept, from rootdir on", default=CORPUS)
    parser.addini("kchaos_report", "report of the session, .html or .json, from rootdir on; none: no report", default=REPORT)


def read_options(config: pytest.Config) -> Options:
    """Return the options. Raises pytest.UsageError for what makes no sense."""
    backend = config.getoption("--kchaos-backend")
    if backend not in BACKENDS:
        raise _refused(f"--kchaos-backend: there is no {backend!r}", f"write {' or '.join(BACKENDS)}")
    seed = config.getoption("--kchaos-seed")
    if seed is not None and not (seed.isascii() and seed.isdecimal()):
        raise _refused(f"--kchaos-seed: {seed!r} is no seed", "write a whole number from 0 on")
    budget = config.getoption("--kchaos-budget")
    if budget is not None:
        _check_budget(budget)
    replay = config.getoption("--kchaos-replay")
    if replay is not None:
        _check_scenario(config.invocation_params.dir / replay)
    etcd = _etcd(config)
    here, root = config.invocation_params.dir, config.rootpath
    asked, ini = config.getoption("--kchaos-corpus"), config.getini("kchaos_corpus")
    reports = config.getoption("--kchaos-report")
    return Options(
        corpus=here / asked if asked else root / ini,
        reports=_reports("--kchaos-report", reports, here) if reports else _reports("kchaos_report", [config.getini("kchaos_report")], root),
        seed=int(seed) if seed is not None else None, budget=budget, replay=here / replay if replay is not None else None,
        etcd=etcd,
    )  # fmt: skip


def _etcd(config: pytest.Config) -> EtcdOptions:
    backend, members = config.getoption("--kchaos-etcd-backend"), config.getoption("--kchaos-etcd-members")
    binary, image = config.getoption("--kchaos-etcd-binary"), config.getoption("--kchaos-etcd-image")
    if backend not in ETCD_BACKENDS:
        raise _refused(f"--kchaos-etcd-backend: there is no {backend!r}", f"write {' or '.join(ETCD_BACKENDS)}")
    if members not in ETCD_SIZES:
        raise _refused(f"--kchaos-etcd-members: a cluster of {members!r} can't be had", "write 1, 3 or 5")
    if binary is not None and backend != "process":
        raise _refused("--kchaos-etcd-binary is for processes", "name an image by --kchaos-etcd-image")
    if image is not None and backend != "containers":
        raise _refused("--kchaos-etcd-image is for containers", "add --kchaos-etcd-backend containers")
    return EtcdOptions(backend, int(members), binary, image)


def _refused(what: str, instead: str) -> Exception:
    import pytest

    return pytest.UsageError(f"{what} ({instead})")


def _reports(option: str, given: list[str], base: Path) -> tuple[Path, ...]:
    out = []
    for one in given:
        if one == "none":
            continue
        if Path(one).suffix not in REPORTS:
            raise _refused(
                f"{option}: {one!r} is no report that can be written", f"write a file that ends in {' or '.join(REPORTS)}, or none"
            )
        if (base / one).is_dir():
            raise _refused(f"{option}: {one!r} is a folder", f"write a file in it, such as {one}/report.html")
        out.append(base / one)
    return tuple(dict.fromkeys(out))


def _check_budget(text: str) -> None:
    from kchaos.engine.campaign import BudgetOption
    from kchaos.errors import InvalidScenario

    try:
        BudgetOption.of(text)
    except InvalidScenario as error:
        raise _refused(f"--kchaos-budget: {error.message}", error.hint) from None


def _check_scenario(path: Path) -> None:
    from kchaos.errors import InvalidScenario
    from kchaos.scenario import load

    try:
        load(path)
    except InvalidScenario as error:
        raise _refused(
            f"--kchaos-replay: {error.location}: {error.message}", error.hint or "give a .scenario.json of kchaos-corpus"
        ) from None
