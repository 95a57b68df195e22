"""`kchaos report`: reports from a saved result."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import msgspec

from kchaos.engine.output import whole
from kchaos.engine.result import SCHEMA_VERSION, Result
from kchaos.errors import HarnessError, InvalidScenario, Location
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


def report(file: Path, formats: str, out: Path | None) -> int:
    """Write the reports."""
    wanted = parse(formats)
    result = read_result(file)
    folder = out or file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            path = folder / FORMATS[one].file
            data = FORMATS[one].render(result)
            whole(path, partial(Path.write_bytes, data=data))
            click.echo(path)
    except OSError as error:
        raise HarnessError(f"can't write to {folder}: {error.strerror}") from error
    return 0
