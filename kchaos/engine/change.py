"""What to change, as it stands in a result: a diff that was simulated, what it costs and leaves; commands for what no edit mends."""

from __future__ import annotations

import msgspec


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator does where no edit helps: shell commands, simulated after the fault of a finding."""

    finding: str
    """Its fingerprint."""
    rule: str
    object: str
    fault: str
    commands: tuple[str, ...]
    after_s: float
    """When they are given, in seconds after the fault."""
    serves_s: float
    """How long after that all pods are ready again."""
    says: str = ""
    """What to know before it is done."""


class ChangeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest change that was found, and how far it gets. Without a ``diff`` and ``patches`` none was found that helps."""

    edits: tuple[str, ...] = ()
    """Each edit in words."""
    diff: str = ""
    """A unified diff of the user's files; empty for what was rendered."""
    patches: dict[str, str] = {}
    """For rendered inputs: the files of a kustomization, by name."""
    root: str = ""
    """The folder that paths in the diff begin in; empty: the current one."""
    lines: int = 0
    """Lines that the diff adds and removes."""
    pods: int = 0
    nodes: int = 0
    """How many more of them it takes."""
    needs: tuple[str, ...] = ()
    gives_up: tuple[str, ...] = ()
    passes: bool = False
    """The verdict with it is pass."""
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    """Errors and warnings, counted by object."""
    level1: tuple[int, int] = (0, 0)
    """Scenarios of level 1 that ran with it without error or warning, of all."""
    mended: tuple[str, ...] = ()
    """Fingerprints of findings that are gone with it."""
    left: tuple[str, ...] = ()
    """What it leaves, in words."""
    doubts: tuple[str, ...] = ()
    """Why the run has established nothing, where it shows nothing to mend: level 1 is unfinished, nothing was to be run."""
    commands: tuple[CommandResult, ...] = ()
    tried: int = 0
    """Changes that were simulated."""
    examples: int = 0
    stopped: str = ""
    """Why the search ended early: ``budget``, ``interrupted`` or nothing."""
    refused: tuple[str, ...] = ()
    """Why options could not be written into the files."""

    @property
    def found(self) -> bool:
        """Tell whether there is a change to show."""
        return bool(self.edits)
