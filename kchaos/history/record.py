"""What happened in a run: a header, then entries in the order in which they happened, and a digest over all of it.

Two sorts of entries: a :class:`Write` is one committed change of one object; a :class:`Mark` is anything else (a step, a fault
injected or healed, a phase, an interval of traffic, a container's life). Entries share the immutable objects of the simulation, so
recording costs a tuple; they become JSON only when a run is digested or saved.

On file (JSON Lines): the header, then per write ``{"t","e":"ADDED|MODIFIED|DELETED","r","k","rv","by","o"|"d"}`` where ``d`` is the
JSON merge patch from the object's last state, then ``{"end": {"digest", "entries"}}``. A file without its end was cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kchaos.canonical import RunningDigest, encode
from kchaos.errors import InvalidScenario, Location

VERSION = 1
FORMAT = "kchaos-run"
CORRUPTION = "corruption"
"""The actor of a change that nobody made: no property judges it, only what follows from it."""


class Write(NamedTuple):
    """One committed change: ``t`` virtual seconds, ``type`` ADDED|MODIFIED|DELETED, ``prev`` the object before, if any."""

    t: float
    type: str
    resource: str
    key: str
    rv: int
    actor: str
    obj: dict[str, Any]
    prev: dict[str, Any] | None


class Mark(NamedTuple):
    """Anything else: ``what`` names the sort, ``data`` is JSON."""

    t: float
    what: str
    data: dict[str, Any]


Entry = Write | Mark


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the entries are a history of."""

    format: str = FORMAT
    version: int = VERSION
    kchaos: str = ""
    scenario: dict[str, Any] = {}
    initial: dict[str, dict[str, Any]] = {}
    """Objects that existed at the start, by resource and key."""


class Run:
    """A finished run; the only thing that properties and reports read."""

    def __init__(self, header: Header, entries: list[Entry], digest: str) -> None:
        self.header = header
        self.entries = entries
        self.digest = digest

    def marks(self, what: str) -> Iterator[Mark]:
        """Yield the marks of one sort, in order."""
        for entry in self.entries:
            if isinstance(entry, Mark) and entry.what == what:
                yield entry

    def save(self, path: Path) -> None:
        """Write the run as JSON Lines."""
        lines = [encode(self.header), *encode_entries(self.header, self.entries)]
        lines.append(encode({"end": {"digest": self.digest, "entries": len(self.entries)}}))
        path.write_bytes(b"\n".join(lines) + b"\n")


def patch_between(old: Any, new: Any) -> Any:
    """Return the merge patch from ``old`` to ``new``; subtrees that are the same object are not looked into."""
    out: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key)
        if before is value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            below = patch_between(before, value)
            if below:
                out[key] = below
            elif before != value:
                out[key] = value
        elif before != value:
            out[key] = value
    for key in old:
        if key not in new:
            out[key] = None
    return out


def apply_patch(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return ``old`` with a merge patch applied; what is not named is shared."""
    out = dict(old)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = apply_patch(out[key], value)
        else:
            out[key] = value
    return out


def encode_entries(header: Header, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield each entry's canonical JSON."""
    for entry in entries:
        if isinstance(entry, Mark):
            yield encode({"t": round(entry.t, 6), "e": entry.what, **entry.data})
            continue
        line: dict[str, Any] = {
            "t": round(entry.t, 6), "e": entry.type, "r": entry.resource, "k": entry.key, "rv": entry.rv, "by": entry.actor,
        }  # fmt: skip
        if entry.type == "MODIFIED" and entry.prev is not None:
            line["d"] = patch_between(entry.prev, entry.obj)
        elif entry.type != "DELETED":
            line["o"] = entry.obj
        yield encode(line)


def digest_of(header: Header, entries: Iterable[Entry]) -> str:
    """Return the digest over header and entries: equal histories, equal digests, on any machine and Python.

    The scenario's name is left out: it is what people call the run, not what it follows from.
    """
    running = RunningDigest()
    running.add(encode({key: value for key, value in header.scenario.items() if key != "name"}))
    for line in encode_entries(header, entries):
        running.add(line)
    return running.hexdigest()


def load(path: Path) -> Run:
    """Read a saved run. Raises InvalidScenario with file and line for anything that is not one."""
    where = str(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InvalidScenario(f"can't read the run: {error.strerror}", location=Location(where)) from error
    header = _header(lines[0], where)
    entries: list[Entry] = []
    state = {(r, k): obj for r, table in header.initial.items() for k, obj in table.items()}
    end: dict[str, Any] | None = None
    for number, raw in enumerate(lines[1:], start=2):
        if not raw:
            continue
        try:
            line = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise InvalidScenario(
                f"not JSON: {error}", location=Location(where, number), hint="the file was cut or edited; run it again"
            ) from error
        if not isinstance(line, dict):
            raise InvalidScenario("not an entry of a run", location=Location(where, number), hint="the file was edited; run it again")
        if "e" not in line and isinstance(line.get("end"), dict):
            end = line["end"]
            break
        try:
            entries.append(_entry(line, state, Location(where, number)))
        except (KeyError, TypeError, AttributeError) as error:
            hint = "the file was edited; run it again"
            raise InvalidScenario("not an entry of a run", location=Location(where, number), hint=hint) from error
    if end is None or end.get("entries") != len(entries) or not isinstance(end.get("digest"), str):
        raise InvalidScenario("the run is incomplete: its last line is missing", location=Location(where, len(lines)), hint="run it again")
    return Run(header, entries, end["digest"])


def _header(raw: bytes, where: str) -> Header:
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidScenario("not a kchaos run", location=Location(where, 1), hint="give a .run.jsonl file") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidScenario("not a kchaos run", location=Location(where, 1), hint="give a .run.jsonl file")
    if found.get("version") != VERSION:
        raise InvalidScenario(
            f"run format version {found.get('version')} is not known to this kchaos, which reads version {VERSION}",
            location=Location(where, 1),
            hint="use the kchaos that wrote it" if (found.get("version") or 0) > VERSION else "run it again",
        )
    try:
        return msgspec.convert(found, Header)
    except msgspec.ValidationError as error:
        raise InvalidScenario(f"not a valid run: {error}", location=Location(where, 1), hint="run it again") from error


def _entry(line: dict[str, Any], state: dict[tuple[str, str], dict[str, Any]], where: Location) -> Entry:
    kind = line.get("e")
    if isinstance(line["t"], bool) or not isinstance(line["t"], int | float):
        raise TypeError("t")
    if kind not in ("ADDED", "MODIFIED", "DELETED"):
        t = line.pop("t")
        line.pop("e", None)
        return Mark(t, str(kind), line)  # the rest is its data: a copy would be a fourth of what loading takes
    ident = (line["r"], line["k"])
    prev = state.get(ident)
    if "d" in line:
        if prev is None:
            raise InvalidScenario("a change of an object that does not exist", location=where, hint="the file was edited")
        obj = apply_patch(prev, line["d"])
    elif "o" in line:
        obj = line["o"]
    else:
        obj = prev or {}
    if kind == "DELETED":
        state.pop(ident, None)
    else:
        state[ident] = obj
    return Write(line["t"], kind, line["r"], line["k"], line["rv"], line["by"], obj, prev)
