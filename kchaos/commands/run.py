"""`kchaos run`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kchaos.check.property import Severity
from kchaos.commands.report import read_result
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.cases import Example
from kchaos.engine.corpus import FOLDER as CORPUS
from kchaos.engine.corpus import read as read_corpus
from kchaos.engine.decorators import declared_in
from kchaos.engine.execute import Answer, Listener, Question, execute
from kchaos.engine.inputs import HelmOptions, check_chart_options, check_namespace, only_files, read_paths
from kchaos.engine.machines import Machines, of_file, of_numbers
from kchaos.engine.output import FOLDER, Files, harmless, mute, name_of, unwritable, whole, write_all
from kchaos.engine.result import Result, with_replays
from kchaos.engine.settings import FILE, Settings, load_settings
from kchaos.engine.shard import Shard
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import DEFAULT, constants
from kchaos.models.manifests.load import Loaded
from kchaos.reports.formats import FORMATS, parse


class _Bar(Listener):
    """A progress bar on standard error: examples per second, and what was found so far."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[rate]}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task: Any = None
        self._began = time.monotonic()
        self._ran = 0
        self._bit: dict[str, None] = {}

    def planned(self, level1: int, total: int) -> None:
        self._progress.start()
        self._task = self._progress.add_task("examples", total=total, rate="")
        self._began = time.monotonic()

    def ran(self, one: Example) -> None:
        self._ran += 1
        for line in one.report:
            if line["status"] == "bit":
                self._bit[line["name"]] = None
        rate = self._ran / max(1e-6, time.monotonic() - self._began)
        self._progress.update(self._task, completed=self._ran, rate=f"{rate:.0f} examples/s, {len(self._bit)} sorts of faults bit")

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def run(paths: tuple[str, ...], options: dict[str, Any]) -> int:
    """Do it; return the exit code."""
    errors = Console(stderr=True)
    formats = parse(options["formats"])
    _named(options["corpus"])
    check_namespace(options["namespace"])
    given = [flag for flag, name in (("--values", "values"), ("--set", "sets")) if options[name]]
    given += ["--release-name"] if options["release_name"] != "release" else []
    check_chart_options(given, (*paths, *options["beside"]))
    for file in (options["config"], options["topology"], *options["python"]):
        if file is not None:
            only_files(file)
    settings = _settings(options["config"], paths)
    version = options["version"] or settings.kubernetes or DEFAULT
    constants(version)  # refuses unknown versions
    helm = HelmOptions(options["values"], options["sets"], options["namespace"], options["release_name"], version)
    corpus = _corpus(options["corpus"], paths)
    kept, problems = read_corpus(corpus) if corpus is not None else ([], [])
    question = Question(
        texts=read_paths(paths, helm), machines=_machines(options), settings=settings, context=read_paths(options["beside"], helm),
        faults=options["faults"], budget=BudgetOption.of(options["budget"]), seed=options["seed"], fail_on=Severity(options["fail_on"]),
        jobs=options["jobs"], kubernetes=version, namespace=options["namespace"], command=_command(),
        corpus=kept, triggers=options["sweep"] == "triggers", shard=Shard.parse(options["shard"]),
        properties=[one for file in options["python"] for one in declared_in(str(file))],
        baseline=(str(options["baseline"]), read_result(options["baseline"])) if options["baseline"] else None,
    )  # fmt: skip
    _fit_sweep(options)
    if options["sweep"] in ("writes", "stale"):
        from kchaos.commands.writes import writes

        return writes(options["sweep"], question, options["as_json"], options["quiet"])
    out: Path = options["out"] or Path(FOLDER) / name_of(paths)
    _forewarn(out, errors)
    bar = _Bar(errors) if not options["quiet"] else None
    began = time.monotonic()
    try:
        answer = execute(question, bar)
    finally:
        if bar is not None:
            bar.stop()
    result = answer.result
    if options["fix"] and not result.examples.interrupted:
        from kchaos.commands.fix import change, places

        where_to = places(question.texts, out, helm)
        result = msgspec.structs.replace(result, change=change(question, answer, where_to, errors, options["quiet"]))
    result = msgspec.structs.replace(result, duration_s=round(time.monotonic() - began, 3))
    result, folder, unwritten = _write(answer, result, formats, out)
    problems += [*unwritten, *_keep(answer, corpus)]
    problems += [f"not tried again: {file}: {why}" for file, why in result.corpus.get("why", {}).items()]
    where = str(folder / "report.html") if folder is not None and "html" in formats else str(folder or "")
    kept_in = str(corpus) if answer.corpus and corpus is not None else ""
    _tell(result, where, options["as_json"], options["quiet"], kept_in)
    if folder is not None and not options["as_json"] and not options["quiet"]:
        _say_next(result, folder, paths)
    for problem in problems:
        errors.print(f"warning: {harmless(problem)}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if result.examples.interrupted:
        errors.print(f"{'terminated' if answer.terminated else 'interrupted'}: this is what is known so far", style="magenta")
        return 143 if answer.terminated else 130
    if result.change is not None and result.change.stopped == "interrupted":
        errors.print("interrupted: this is what was found to change so far", style="magenta")
        return 130
    return result.exit_code


def _named(corpus: str | None) -> None:
    """Refuse an empty name, as of a variable that is not set: it would mean the current folder."""
    if corpus is not None and not corpus.strip():
        raise InvalidScenario("--corpus names no folder", hint="write `none` to keep nothing")


def _forewarn(folder: Path, errors: Console) -> None:
    """Say before the run that its files will go elsewhere: nobody should learn that after minutes."""
    if why := unwritable(folder):
        errors.print(
            f"warning: can't write to {harmless(folder)}: {why}; reports and replays will go to a temporary folder",
            style="yellow", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _corpus(option: str | None, paths: tuple[str, ...]) -> Path | None:
    """Return the folder that keeps this input's failures; None: none is wanted, or the input has no name."""
    if option == "none" or (option is None and paths == ("-",)):
        return None
    return Path(option or CORPUS) / name_of(paths)


def _keep(answer: Answer, folder: Path | None) -> list[str]:
    """Write failures to the corpus; return what went wrong. What is there already stays as it is."""
    if folder is None:
        return []
    try:
        for one in answer.corpus.values():
            folder.mkdir(parents=True, exist_ok=True)
            whole(folder / f"{one.name}.scenario.json", one.scenario.save)
    except OSError as error:
        return [f"can't keep failures in {folder}: {error.strerror or error}"]
    return []


def _tell(result: Result, where: str, as_json: bool, quiet: bool, kept_in: str) -> None:
    """Print the result. Who stops reading has seen enough; if it can't be written, the verdict goes to standard error before the error does."""
    from kchaos.reports.columns import headline
    from kchaos.reports.terminal import show

    try:
        if as_json:
            sys.stdout.buffer.write(result.to_json())
            sys.stdout.buffer.flush()
        else:
            show(result, Console(), where, quiet)
            if kept_in and not quiet:
                click.echo(harmless(f"Failures are kept in {kept_in}, to be tried first next time (commit them)"))
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the second of the first
        mute()
    except OSError:
        Console(stderr=True).print(harmless(headline(result)), markup=False, highlight=False, soft_wrap=True)
        raise


def _say_next(result: Result, folder: Path, paths: tuple[str, ...]) -> None:
    """Say how the change is applied; without one, that it can be searched for."""
    from kchaos.commands.fix import how_to_apply

    if result.change is not None:
        lines = how_to_apply(result.change, folder)
    else:
        loud = any(one.severity is not Severity.INFO and not one.accepted and not one.known for one in result.findings)
        lines = ["What to change? `kchaos run --fix` tries small edits, and shows the smallest that mends this"] if loud else []
    for line in lines:
        click.echo(harmless(line))


def _fit_sweep(options: dict[str, Any]) -> None:
    """Refuse what a sweep would not heed: those over writes know no findings, and events are known only when all operations have run."""
    refused = {"writes": ("baseline", "shard", "fix"), "stale": ("baseline", "shard", "fix"), "triggers": ("shard", "fix")}
    if options["fix"] and options["shard"] is not None:
        raise InvalidScenario("--fix is not for --shard: no part knows what the others find", hint="run it without --shard")
    for name in refused.get(options["sweep"], ()):
        if options[name] not in (None, False):
            raise InvalidScenario(f"--{name} is not for --sweep {options['sweep']}", hint="leave out one of the two")


def _settings(config: Path | None, paths: tuple[str, ...]) -> Settings:
    if config is not None:
        return load_settings(config)
    for folder in (Path(), *(Path(path) if Path(path).is_dir() else Path(path).parent for path in paths if path != "-")):
        if (folder / FILE).is_file():
            return load_settings(folder / FILE)
    return Settings()


def _machines(options: dict[str, Any]) -> Callable[[Sequence[Obj]], Machines]:
    file = options["topology"]
    if file is not None:
        if options["nodes"] or options["zones"]:
            raise InvalidScenario("--topology says which machines there are", hint="leave out --nodes and --zones")
        found = of_file(file)
        return lambda objects: found
    nodes, zones = options["nodes"], options["zones"]
    return lambda objects: of_numbers(nodes, zones, objects)


def _command() -> str:
    return shlex.join(["kchaos", *sys.argv[1:]])


def _report(name: str, result: Result, path: Path) -> None:
    path.write_bytes(FORMATS[name].render(result))


def _write(answer: Answer, result: Result, formats: tuple[str, ...], out: Path) -> tuple[Result, Path | None, list[str]]:
    """Write reports and replays; return the result with the replays' paths in it, the folder, and what went wrong."""
    placed = result

    def files_at(folder: Path) -> Files:
        nonlocal placed
        placed = with_replays(result, folder)
        files: dict[str, Callable[[Path], object]] = {FORMATS[one].file: partial(_report, one, placed) for one in formats}
        for replay in answer.replays.values():
            files[f"{replay.name}.scenario.json"] = replay.scenario.save
            files[f"{replay.name}.run.jsonl"] = replay.run.save
        if placed.change is not None:
            from kchaos.commands.fix import files_of

            files |= files_of(placed.change)
        return files

    folder, problems = write_all(out, files_at)
    return (placed if folder is not None else with_replays(result, None)), folder, problems


__all__ = ["Loaded", "run"]
