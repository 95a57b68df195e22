"""The four ways a run can end badly, one tree, and the exit code of each.

::

    KchaosError
    ├── Violation        the system under test is wrong              exit 1
    ├── Unknown          we could not tell                           exit 3
    ├── InvalidScenario  the user's input is wrong; says where       exit 2
    └── HarnessError     kchaos or its environment failed            exit 4
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; see :func:`worst` for the precedence between them."""

    PASS = 0
    VIOLATION = 1
    INVALID = 2
    UNKNOWN = 3
    HARNESS = 4


_PRECEDENCE = (ExitCode.HARNESS, ExitCode.INVALID, ExitCode.VIOLATION, ExitCode.UNKNOWN, ExitCode.PASS)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code that wins: 4 over 2 over 1 over 3 over 0; PASS of nothing."""
    present = set(codes)
    return next((code for code in _PRECEDENCE if code in present), ExitCode.PASS)


@dataclass(frozen=True, slots=True)
class Location:
    """Where in the user's input something stands: a file's name and a 1-based line (0 = the whole file)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class KchaosError(Exception):
    """Base of all errors that kchaos raises on purpose."""

    exit_code = ExitCode.HARNESS


class Violation(KchaosError):
    """The system under test broke a property."""

    exit_code = ExitCode.VIOLATION


class Unknown(KchaosError):
    """The question could not be answered."""

    exit_code = ExitCode.UNKNOWN


class InvalidScenario(KchaosError):
    """The user's input is wrong.

    ``message`` says what is wrong, ``hint`` what to write instead, ``location`` where it stands.
    """

    exit_code = ExitCode.INVALID

    def __init__(self, message: str, *, location: Location | None = None, hint: str = "") -> None:
        self.message = message
        self.location = location
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class HarnessError(KchaosError):
    """kchaos itself, or its environment, failed; the verdict can't be trusted."""

    exit_code = ExitCode.HARNESS
