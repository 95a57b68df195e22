"""A scenario: everything a run follows from, as one frozen, versioned JSON document that replays anywhere.

``system`` names the backend that understands ``topology``, ``inputs`` and the faults in ``steps``; nothing here knows Kubernetes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from kchaos.canonical import digest, encode
from kchaos.errors import InvalidScenario, Location

FORMAT = "kchaos-scenario"
VERSION = 1


Seconds = Annotated[float, msgspec.Meta(ge=0)]


class At(msgspec.Struct, frozen=True, tag="at", forbid_unknown_fields=True):
    """Fire ``s`` virtual seconds after chaos begins."""

    s: Seconds


class Nth(msgspec.Struct, frozen=True, tag="nth", forbid_unknown_fields=True):
    """Fire at the ``n``-th (from 1) event since chaos began that matches every field of ``event`` (glob patterns)."""

    event: dict[str, str]
    n: Annotated[int, msgspec.Meta(ge=1)] = 1


Trigger = At | Nth


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing done to the cluster: an operation of a user or a fault; ``do`` names it, ``args`` are its own fields.

    ``for_s``: undo it after that long; None: at healing.
    """

    do: str
    args: dict[str, Any] = {}
    when: Trigger = At(0.0)
    for_s: Seconds | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may break at once while liveness is still claimed, and how long a run may take in virtual seconds.

    Chaos ends when nothing more will come of the steps, after ``chaos_s`` at the latest and not before ``chaos_at_least_s``.
    """

    chaos_s: Seconds = 1000.0
    chaos_at_least_s: Seconds = 0.0
    settle_s: Seconds = 1200.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Topology + steps + schedule noise + budget."""

    format: str = FORMAT
    version: int = VERSION
    name: str = ""
    system: str = "kubernetes"
    seed: int = 0
    topology: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    noise: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "quiet"})
    budget: Budget = Budget()

    def digest(self) -> str:
        """Return the digest of the whole document."""
        return digest(msgspec.to_builtins(self))

    def save(self, path: Path) -> None:
        """Write the document."""
        path.write_bytes(msgspec.json.format(encode(msgspec.to_builtins(self)), indent=1) + b"\n")


def load(path: Path) -> Scenario:
    """Read a scenario. Raises InvalidScenario with the reason for anything that is not one."""
    where = Location(str(path))
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidScenario(f"can't read the scenario: {error.strerror}", location=where) from error
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidScenario(f"not JSON: {error}", location=where, hint="give a .scenario.json file") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidScenario("not a kchaos scenario", location=where, hint="give a .scenario.json file that kchaos wrote")
    if found.get("version") != VERSION:
        raise InvalidScenario(
            f"scenario version {found.get('version')} is not known to this kchaos, which reads version {VERSION}",
            location=where,
            hint="use the kchaos that wrote it",
        )
    try:
        return msgspec.convert(found, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidScenario(
            f"not a valid scenario: {wrong(error)}", location=where, hint="docs/scenario.md says what is allowed"
        ) from error


def wrong(error: msgspec.ValidationError, base: str = "") -> str:
    """Return where a document is wrong and how, in words: ``steps[0].when.s must be 0 or more``."""
    said, _, path = str(error).partition(" - at `$")
    path = base + path.rstrip("`")
    path = path.removeprefix(".")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", said)
    if unknown is not None:
        return f"{path}.{unknown[1]} is not known".removeprefix(".")
    least = re.fullmatch(r"Expected `(?:float|int)` >= ([\d.]+)", said)
    if least is not None:
        return f"{path} must be {float(least[1]):g} or more"
    most = re.fullmatch(r"Expected `(?:float|int)` <= ([\d.]+)", said)
    if most is not None:
        return f"{path} must be {float(most[1]):g} or less"
    return f"{path}: {said[:1].lower()}{said[1:]}".replace("`", "").removeprefix(": ")
