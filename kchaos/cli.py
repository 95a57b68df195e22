"""The command line. Each command is a thin shell: options in, one engine call, output and an exit code out."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import click

from kchaos import __version__
from kchaos.engine.output import mute
from kchaos.engine.signals import Terminated, deaf, listening
from kchaos.errors import ExitCode, InvalidScenario, KchaosError

INTERRUPTED, TERMINATED = 130, 143


class _Named(click.Path):
    """A path that says something: an empty one, as of a variable that is not set, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path (a callback of click)."""
        if not str(value).strip():
            self.fail("the name is empty; write `.` for this folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Named(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kchaos")
def cli() -> None:
    """Does this survive? Ask it of Kubernetes manifests, in seconds, without a cluster; or of a real etcd.

    \b
      kchaos run DIR            run an application through every single fault
      kchaos etcd               run a real etcd cluster under faults
      kchaos replay FILE        the same failure again
      kchaos shrink FILE        its smallest form
      kchaos explain FILE       its story; or `kchaos explain KC202`: the rule
    """


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--nodes", type=click.IntRange(1, 5000), help="Number of worker nodes. Default: enough for the requests.")
@click.option("--zones", type=click.IntRange(1, 100), help="Number of zones they are spread over. Default: 3.")
@click.option("--topology", type=PATH, help="Machines: a file, or the output of kubectl get nodes,sc,pc,quota -o yaml.")
@click.option("--context", "beside", multiple=True, metavar="PATH", help="Objects that exist but are not under test. Repeatable.")
@click.option("--config", type=PATH, help="Assumptions, expectations, properties. Default: kchaos.yaml here or beside the input.")
@click.option("--properties", "python", multiple=True, type=PATH, metavar="FILE.py", help="Properties of your own in Python. Repeatable.")
@click.option("--faults", metavar="LIST", help="Only these faults, separated by commas (`kchaos faults` lists them; `none` for none).")
@click.option(
    "--sweep",
    type=click.Choice(["faults", "writes", "stale", "triggers"]),
    default="faults",
    show_default=True,
    help="writes, stale: instead, at each single write of each operation, the control plane crashes or sees what was before; "
    "the end states must be equal. triggers: instead, every fault of the control plane at each event of each operation.",
)
@click.option(
    "--budget", metavar="200|10s", help="Number of examples, or a time. Default: all single faults, 40 pairs, 20 drawn scenarios."
)
@click.option("--corpus", metavar="DIR|none", help="Failures of earlier runs, tried first; new ones are added. Default: kchaos-corpus.")
@click.option("--baseline", type=PATH, metavar="FILE", help="result.json of an earlier run: what it has found does not fail.")
@click.option("--shard", metavar="1/4", help="Run this part only; `kchaos report` merges the results of all parts.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), default="error", show_default=True, help="From which severity on to exit 1."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes; they change nothing in what is found."
)
@click.option("--kubernetes", "version", default=None, metavar="1.28..1.34", help="Kubernetes version to model. Default: 1.34.")
@click.option("-o", "--output", "formats", default="html", show_default=True, metavar="html,junit,json,sarif,md", help="Reports to write.")
@click.option("--out", type=PATH, help="Folder for reports and replays. Default: .kchaos/NAME.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of objects that name none.")
@click.option("-f", "--values", "values", multiple=True, metavar="FILE", help="Values file for a Helm chart. Repeatable.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Value for a Helm chart. Repeatable.")
@click.option("--release-name", default="release", show_default=True, help="Release name for a Helm chart.")
@click.option(
    "--fix", is_flag=True, help="Search what to change: small edits, each simulated; written as fix.patch, never into your files."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document (docs/result.md).")
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict only.")
def run(paths: tuple[str, ...], **options: Any) -> int:
    """Run manifests, a chart or a kustomization through every single fault, then pairs and drawn scenarios.

    PATH is a file, a folder, a glob, or - for standard input.

    \b
    Exit codes: 0 pass, 1 a finding of level error, 2 nothing runnable or wrong usage, 3 unknown, 4 kchaos could not run.
    """
    from kchaos.commands.run import run as do

    return do(paths, options)


@cli.command()
@click.argument("file", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print digest and violations as JSON.")
@click.option("--save", type=PATH, help="Write the run (JSON Lines) to this file.")
def replay(file: Path, as_json: bool, save: Path | None) -> int:
    """Run a saved scenario again: the same failure, the same digest."""
    from kchaos.commands.replay import replay as do

    return do(file, as_json, save)


@cli.command()
@click.argument("file", type=PATH)
@click.option(
    "-o",
    "--output",
    "target",
    type=PATH,
    help="Where to write it. Default: beside FILE, as NAME.small.scenario.json.",
)
@click.option("--tries", type=click.IntRange(1), default=400, show_default=True, help="Candidates to try at most.")
@click.option("--rule", metavar="ID", help="Which violation to keep. Default: the worst.")
def shrink(file: Path, target: Path | None, tries: int, rule: str | None) -> int:
    """Find the smallest scenario that fails as FILE does: fewer steps, fewer objects, fewer nodes and replicas."""
    from kchaos.commands.shrink import shrink as do

    return do(file, target, tries, rule)


@cli.command()
@click.argument("what")
def explain(what: str) -> int:
    """Tell the story of a saved scenario or run, or the rule behind an id such as KC202 and its source."""
    from kchaos.commands.replay import explain as do

    return do(what)


@cli.group(invoke_without_command=True)
@click.pass_context
@click.option(
    "--backend", type=click.Choice(["process", "containers"]), default="process", show_default=True,
    help="Local processes (etcd and toxiproxy-server on PATH), or containers (Docker).",
)
@click.option("--members", type=click.Choice(["1", "3", "5"]), default="3", show_default=True, help="Members of the cluster.")
@click.option("--binary", type=_Named(), metavar="PATH", help="The etcd to run as processes. Default: etcd on PATH.")
@click.option("--image", metavar="NAME", help="The image to run in containers. Default: the official one.")
@click.option(
    "--faults", metavar="LIST",
    help="Only these faults, separated by commas (`kchaos faults --of etcd`; `none` for none); if one never bites, the verdict is unknown. Default: all.",
)
@click.option("--budget", default="60s", show_default=True, metavar="60s|10m", help="How long faults come; boot, settling and final reads come on top.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of operations and faults; what the cluster makes of them is its own.")
@click.option("--clients", type=click.IntRange(1, 1000), default=24, show_default=True, help="Clients that ask at the same time.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Operations per second at most, in all. Default: as many as are answered.")
@click.option("--keep", is_flag=True, help="Keep the members' logs also when nothing is wrong.")
@click.option("--out", type=PATH, help="Folder for run, result and report. Default: .kchaos/etcd.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document (docs/etcd.md).")
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict only.")
def etcd(context: click.Context, /, **options: Any) -> int:
    """Run a real etcd cluster under faults, and judge it: linearizable, durable, watches whole, members agree.

    \b
    kchaos etcd --budget 30s          three local processes, Toxiproxy between them
    kchaos etcd --backend containers  the same with the official images
    kchaos etcd check RUN             judge a saved run again

    \b
    Exit codes: 0 pass, 1 a property is broken, 2 wrong usage, 3 unknown, 4 kchaos could not run.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in options if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
        if given:
            flag = f"--{given[0].replace('_', '-')}"
            raise click.UsageError(f"{flag} stands before {context.invoked_subcommand}, which would not heed it: write it after, if it is one of its own")
        return 0
    from kchaos.commands.etcd import etcd as do

    return do(options)


@etcd.command()
@click.argument("file", type=PATH, metavar="RUN")
@click.option("--out", type=PATH, help="Folder for the report. Default: beside RUN.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict only.")
def check(file: Path, out: Path | None, as_json: bool, quiet: bool) -> int:
    """Judge a saved run (etcd.run.jsonl) again."""
    from kchaos.commands.etcd import check as do

    return do(file, out, as_json, quiet)


@cli.command()
@click.option("--json", "as_json", is_flag=True)
@click.option("--of", "system", type=click.Choice(["kubernetes", "etcd"]), default="kubernetes", show_default=True, help="Whose faults.")
def faults(as_json: bool, system: str) -> int:
    """List the faults and steps of users that exist."""
    from kchaos.commands.lists import faults as do

    return do(as_json, system)


@cli.command()
@click.option("--json", "as_json", is_flag=True)
@click.option("--config", type=PATH, help="A kchaos.yaml that declares some. Default: kchaos.yaml here.")
def properties(as_json: bool, config: Path | None) -> int:
    """List the properties that judge a run, those of kchaos.yaml first, and the rules of the loader."""
    from kchaos.commands.lists import properties as do

    return do(as_json, config)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("-o", "--output", "formats", default="html", show_default=True, metavar="html,junit,json,sarif,md", help="Reports to write.")
@click.option("--out", type=PATH, help="Folder to write to. Default: beside the (first) file.")
@click.option("--baseline", type=PATH, metavar="FILE", help="result.json of an earlier run: what it has found does not fail.")
@click.option("--before", type=PATH, metavar="FILE", help="result.json of an earlier run: the HTML report compares the two.")
def report(files: tuple[Path, ...], formats: str, out: Path | None, baseline: Path | None, before: Path | None) -> int:
    """Write reports from a result that `kchaos run -o json` saved, or from those of all shards of one run.

    Of shards, or with --baseline, the verdict is printed and decides the exit code, as in `kchaos run`; a missing shard makes it unknown.
    """
    from kchaos.commands.report import report as do

    return do(files, formats, out, baseline, before)


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help='Print {"stories", "facts": {"held", "of"}, "groups"}.')
@click.option("-v", "--verbose", is_flag=True, help="Print every fact that does not hold.")
def conform(paths: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Judge recordings of real controllers and of nodes' networks: count the facts that hold here too."""
    from kchaos.commands.conform import conform as do

    return do(paths, as_json, verbose)


@cli.command()
def schema() -> int:
    """Print the JSON Schema of kchaos.yaml."""
    from kchaos.commands.lists import schema as do

    return do()


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell: eval "$(kchaos completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "kchaos", "_KCHAOS_COMPLETE").source())
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    from kchaos.engine.workers import seldom_collect

    seldom_collect()
    code = run_cli(arguments)
    deaf()
    sys.exit(code)


def run_cli(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code. A user's mistake never shows a traceback."""
    with listening():
        return _run_cli(arguments)


def _run_cli(arguments: list[str] | None) -> int:
    try:
        code = cli.main(args=arguments, prog_name="kchaos", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code or 0)
    except SystemExit as stop:  # click and rich end so when nobody reads standard output any more
        return int(ExitCode.HARNESS) if stop.code == 1 else int(stop.code or 0)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.UsageError as error:
        error.show()
        return int(ExitCode.INVALID)
    except KchaosError as error:
        _say(error)
        return int(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:  # click makes an Abort of the first
        terminated = isinstance(stop, Terminated) or isinstance(stop.__cause__, Terminated)
        click.echo("terminated" if terminated else "interrupted", err=True)
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        mute()
        return int(ExitCode.HARNESS)
    except Exception as error:  # our own fault: say so, with all that helps to mend it
        if isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
            mute()
            click.echo(f"error: can't write to standard output: {error.strerror}", err=True)
            return int(ExitCode.HARNESS)
        import traceback

        traceback.print_exc()
        click.echo(
            f"kchaos failed ({type(error).__name__}): this is a defect of kchaos, not of your files. Please report the lines above.",
            err=True,
        )
        return int(ExitCode.HARNESS)


def _say(error: KchaosError) -> None:
    from kchaos.engine.output import harmless

    for note in getattr(error, "notes", ()):
        click.echo(harmless(f"{note.level}: {note}"), err=True)
    click.echo(harmless(f"error: {error}"), err=True)
    if isinstance(error, InvalidScenario) and not error.hint:
        click.echo("`kchaos --help` shows how to use it", err=True)


if __name__ == "__main__":
    main()
