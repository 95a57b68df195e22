"""`kchaos etcd`: a real cluster under faults, and `kchaos etcd check`: a saved run judged again."""

from __future__ import annotations

import math
import platform
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec
from rich.console import Console
from rich.status import Status

from kchaos.check.verdict import Verdict
from kchaos.commands.extra import needed
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.claimed import claimed
from kchaos.engine.etcd.folder import REPORT, RESULT, refuse_foreign, save
from kchaos.engine.etcd.result import EtcdResult
from kchaos.engine.output import harmless, mute, write_all
from kchaos.engine.signals import deaf
from kchaos.engine.workers import not_collecting
from kchaos.errors import ExitCode, HarnessError, InvalidScenario, KchaosError
from kchaos.history.record import Run, digest_of
from kchaos.history.record import load as load_run
from kchaos.scenario import Budget, Scenario

if TYPE_CHECKING:
    from kchaos.engine.etcd.drive import Progress
    from kchaos.real.cluster import Cluster

OUT = ".kchaos/etcd"
SYSTEM = "etcd"
SETTLE_S = 30.0
LIBRARIES = ("grpc", "google.protobuf", "psutil", "testcontainers", "toxiproxy")


class _Line:
    """One line on standard error that follows the run."""

    def __init__(self, console: Console) -> None:
        self._status: Status | None = console.status("starting the cluster") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def told(self, progress: Progress) -> None:
        """Take the figures of a run under way."""
        if self._status is not None:
            self._status.update(
                f"{progress.phase}: {progress.rate:,} operations/s, {progress.operations:,} in all, {progress.unknown:,} unknown; "
                f"{progress.faults} faults, {progress.bit} bit, {progress.elections} elections"
            )

    def stop(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()


def etcd(options: dict[str, Any]) -> int:
    """Do it; return the exit code."""
    needed("etcd", LIBRARIES)
    from kchaos.engine.etcd.schedule import draw
    from kchaos.real.backends import cluster_of

    count = int(options["members"])
    kinds = _kinds(options["faults"], count)
    chaos_s = _seconds(options["budget"])
    if options["rate"] is not None and not math.isfinite(options["rate"]):
        raise InvalidScenario(f"--rate {options['rate']} is no rate", hint="write operations per second, such as 500")
    members = tuple(f"m{n}" for n in range(1, count + 1))
    scenario = Scenario(
        name=SYSTEM, system=SYSTEM, seed=options["seed"], topology={"backend": options["backend"], "members": list(members)},
        inputs={
            "faults": [kind.name for kind in kinds], "named": _named(options["faults"]), "clients": options["clients"], "rate": options["rate"],
            "command": _command(),
        },
        steps=draw(options["seed"], kinds, members, chaos_s), budget=Budget(chaos_s=chaos_s, chaos_at_least_s=chaos_s, settle_s=SETTLE_S),
    )  # fmt: skip
    out: Path = options["out"] or Path(OUT)
    cluster = cluster_of(options["backend"], count, image=options["image"], binary=options["binary"])
    with claimed(out):
        refuse_foreign(out)
        return _run(cluster, scenario, out, options)


def _run(cluster: Cluster, scenario: Scenario, out: Path, options: dict[str, Any]) -> int:
    """Run a scenario on a cluster that is not started yet; save, judge and tell what came of it; return the exit code."""
    from kchaos.engine.etcd.drive import Failed, Interrupted, Load, drive

    errors = Console(stderr=True)
    kinds = tuple(scenario.inputs["faults"])
    line = _Line(errors) if not options["quiet"] else None
    try:
        cluster.start()
        try:
            run = drive(cluster, scenario, Load(options["clients"], options["rate"]), line, {"python": platform.python_version()})
        except Interrupted as stop:
            _line_off(line)
            where = _saved(stop.run, out, errors)
            if options["keep"]:
                _keep_logs(cluster, where.parent, errors)
            errors.print(harmless(f"interrupted: what was recorded so far is in {where}; `kchaos etcd check {where}` judges it"), style="magenta", soft_wrap=True)
            if isinstance(stop.__cause__, KeyboardInterrupt):
                raise stop.__cause__ from None
            raise
        except Failed as broken:
            _line_off(line)
            where = _saved(broken.run, out, errors)
            _keep_logs(cluster, where.parent, errors)
            errors.print(harmless(f"what was recorded until then is in {where}"), style="magenta", soft_wrap=True)
            cause = broken.__cause__
            raise cause if isinstance(cause, KchaosError) else HarnessError(f"the run broke off: {cause}") from cause
        _line_off(line)
        where = _saved(run, out, errors)  # before it is judged: whatever happens then, the run is there
        result = _finish(run, where, options, kinds)
        if options["keep"] or result.exit_code == ExitCode.VIOLATION:
            _keep_logs(cluster, where.parent, errors)
    finally:
        _line_off(line)
        deaf()  # nothing that is ours may stay because somebody is in a hurry: it takes a second
        _stop(cluster, errors)
    return result.exit_code


def _stop(cluster: Cluster, errors: Console) -> None:
    """Stop a cluster; what stays all the same is told, and changes neither the verdict nor what went wrong before (the next run cleans up)."""
    try:
        cluster.stop()
    except (KchaosError, OSError) as error:
        _warn(errors, f"not all of the cluster could be removed: {error}; the next run tries again")


def _warn(errors: Console, words: object) -> None:
    errors.print(f"warning: {harmless(words)}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _keep_logs(cluster: Cluster, folder: Path, errors: Console) -> None:
    """Keep the members' logs; that it can't be done changes no verdict."""
    try:
        kept = cluster.keep_logs(folder / "logs")
        errors.print(harmless(f"logs of the members: {', '.join(map(str, kept))}"), style="dim", highlight=False, soft_wrap=True)
    except HarnessError as error:
        _warn(errors, error)


@not_collecting()
def check(file: Path, out: Path | None, as_json: bool, quiet: bool) -> int:
    """Judge a saved run again, and write its report."""
    run = load_run(file)
    if run.header.scenario.get("system") != SYSTEM:
        raise InvalidScenario(f"{file} is not a run of etcd", hint="`kchaos explain FILE` tells of a run of Kubernetes")
    folder = out or file.parent
    refuse_foreign(folder, (REPORT, RESULT))
    changed = digest_of(run.header, run.entries) != run.digest
    if changed:
        _warn(Console(stderr=True), f"{file} was changed since it was written: its digest is another")
    inputs = run.header.scenario.get("inputs", {})
    kinds = tuple(str(name) for name in inputs.get("faults", ())) if isinstance(inputs, dict) else ()
    try:
        result, page = _judged(run, str(file), kinds)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidScenario(f"{file} is not a run of etcd: an entry is spoilt ({error})", hint="the file was edited; run it again") from error
    if changed and result.verdict is Verdict.PASS:
        reasons = ("the file was changed since it was written",)
        result = msgspec.structs.replace(result, verdict=Verdict.UNKNOWN, exit_code=int(ExitCode.UNKNOWN), reasons=reasons)
        page = _page(result, run)
    _conclude(result, page, folder, as_json, quiet)
    return result.exit_code


def _kinds(names: str | None, members: int) -> tuple[Any, ...]:
    """Return the kinds of faults that are asked for. Raises InvalidScenario for what does not exist or does not fit."""
    from kchaos.engine.etcd.schedule import fitting
    from kchaos.nemesis.etcd.catalog import catalog

    known = catalog()
    if names is None or not _named(names):
        return fitting(tuple(known), members) if names is None or names.strip() == "all" else ()
    asked = tuple(known.get(name.strip()) for name in names.split(",") if name.strip())
    if not asked:
        raise InvalidScenario("--faults names no fault", hint="write for example kill,isolate; `all`, or `none`")
    left_out = [kind.name for kind in asked if kind not in fitting(asked, members)]
    if left_out:
        raise InvalidScenario(f"{', '.join(left_out)} can't happen with {members} members", hint="ask for --members 5, or leave it out")
    return asked


def _named(names: str | None) -> bool:
    """Tell whether the user named faults, and so asks of each what becomes of it."""
    return names is not None and names.strip() not in ("all", "none")


def _seconds(text: str) -> float:
    found = BudgetOption.of(text).seconds
    if found is None:
        raise InvalidScenario(f"--budget {text} is no time", hint="write for example 60s or 10m")
    return found


def _command() -> str:
    return shlex.join(["kchaos", *sys.argv[1:]])


def _judged(run: Run, saved: str, kinds: tuple[str, ...]) -> tuple[EtcdResult, str]:
    from kchaos.engine.etcd.judge import result_of
    from kchaos.reports.etcd.page import html

    result = result_of(run, command=_command(), saved=saved, kinds=kinds)
    return result, html(result, run)


def _page(result: EtcdResult, run: Run) -> str:
    from kchaos.reports.etcd.page import html

    return html(result, run)


@not_collecting()
def _finish(run: Run, saved: Path, options: dict[str, Any], kinds: tuple[str, ...]) -> EtcdResult:
    """Judge a run that is saved; write result and report beside it; print; return the result."""
    result, page = _judged(run, str(saved), kinds)
    _conclude(result, page, saved.parent, options["as_json"], options["quiet"])
    return result


def _conclude(result: EtcdResult, page: str, folder: Path, as_json: bool, quiet: bool) -> None:
    """Write result and report into a folder, and print."""
    document = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
    where, problems = write_all(folder, lambda _: {REPORT: partial(_text, page), RESULT: lambda path: path.write_bytes(document)}, keep=True)
    _tell(result, document, where, as_json, quiet, problems)


def _tell(result: EtcdResult, document: bytes, folder: Path | None, as_json: bool, quiet: bool, problems: list[str]) -> None:
    from kchaos.reports.etcd.terminal import show

    out = cast("TextIO | None", sys.stdout)  # None if it was closed before we began: nobody wants to be told
    try:
        if out is not None and as_json:
            out.buffer.write(document)
            out.buffer.flush()
        elif out is not None:
            show(result, Console(), str(folder / REPORT) if folder is not None else "", quiet)
            out.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the second of the first
        mute()
    for problem in problems:
        _warn(Console(stderr=True), problem)


def _saved(run: Run, out: Path, errors: Console) -> Path:
    """Save what was recorded, in a temporary folder if need be; return where it is. Raises HarnessError if it can't be saved anywhere."""
    where, moved, problems = save(run, out)
    for problem in problems:
        _warn(errors, problem)
    if moved is not None:
        told = f"an earlier run, which found a violation or was not judged to its end, is now in {moved}; `kchaos etcd check {moved / where.name}` judges it"
        errors.print(harmless(told), style="magenta", markup=False, highlight=False, soft_wrap=True)
    return where


def _text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _line_off(line: _Line | None) -> None:
    if line is not None:
        line.stop()


