"""The command's first moment, also as `python -m kchaos`: Ctrl-C while Python still loads the rest is no traceback either."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""As a shell tells of a process that Ctrl-C ended."""


def main() -> None:
    """Load the command line, run it and exit."""
    try:
        from kchaos.cli import main as command

        command()
    except KeyboardInterrupt:  # before the command line listens to signals, or after: nothing has begun, or all is said
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
