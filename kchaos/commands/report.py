"""`kchaos report`: reports from a saved result, or from those of the shards of one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import msgspec

from kchaos.engine.baseline import against
from kchaos.engine.compare import compared
from kchaos.engine.merge import merge
from kchaos.engine.output import harmless, whole
from kchaos.engine.result import SCHEMA_VERSION, Result
from kchaos.errors import HarnessError, InvalidScenario, Location
from kchaos.reports.columns import headline
from kchaos.reports.formats import FORMATS, parse


def read_result(file: Path) -> Result:
    """Return a saved result. Raises InvalidScenario."""
    where = Location(str(file))
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InvalidScenario(f"can't read the result: {error.strerror}", location=where) from error
    try:
        found = msgspec.json.decode(raw)
        version = found.get("schema_version") if isinstance(found, dict) else None
        if version != SCHEMA_VERSION:
            raise InvalidScenario(
                f"not a result of this version (schema_version {version})", location=where, hint="write one with kchaos run -o json"
            )
        return msgspec.convert(found, Result)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidScenario(f"not a result: {error}", location=where, hint="write one with kchaos run -o json") from error


def report(files: Sequence[Path], formats: str, out: Path | None, baseline: Path | None = None, before: Path | None = None) -> int:
    """Write the reports; return the exit code of a verdict that was made here, else 0."""
    wanted = parse(formats)
    results = [read_result(file) for file in files]
    for file, one in zip(files, results, strict=True):
        if len(files) > 1 and not one.shard:
            raise InvalidScenario(
                "the result of a whole run can't be merged with others",
                location=Location(str(file)),
                hint="give it alone, or run all with --shard 1/4 …",
            )
    judged = len(results) > 1 or bool(results[0].shard) or baseline is not None
    result = merge(results) if len(results) > 1 or results[0].shard else results[0]
    if baseline is not None:
        result = against(result, read_result(baseline), str(baseline))
    if before is not None:
        result = compared(result, read_result(before), str(before))
    folder = out or files[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            path = folder / FORMATS[name].file
            data = FORMATS[name].render(result)
            whole(path, partial(Path.write_bytes, data=data))
            click.echo(path)
    except OSError as error:
        raise HarnessError(f"can't write to {folder}: {error.strerror}") from error
    if result.comparison is not None and before is not None:
        click.echo(harmless(f"since {before}: {result.comparison.words()} ({result.comparison.verdict} then, {result.verdict} now)"))
    if not judged:
        return 0
    click.echo(harmless(headline(result)))
    return result.exit_code
