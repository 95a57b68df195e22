"""Scalars are read as kubectl reads them; every value here was checked against kubectl, and is again where it is installed."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from kchaos.models.manifests.yamltree import Document, parse

SCALARS: dict[str, Any] = {
    # booleans: YAML 1.1 as go-yaml v2 has it, with y and n
    "yes": True, "Yes": True, "YES": True, "yEs": "yEs", "on": True, "On": True, "y": True, "Y": True, "true": True, "TRUE": True,
    "no": False, "NO": False, "Off": False, "n": False, "N": False, "false": False, "tRue": "tRue", "fAlse": "fAlse",
    '"yes"': "yes", "'no'": "no", '"true"': "true", "!!str yes": "yes", "!!str y": "y", "!!bool yes": True,
    # null
    "": None, "~": None, "null": None, "Null": None, "NULL": None, "nULL": "nULL", '"null"': "null", '""': "", "!!str null": "null",
    # whole numbers
    "0": 0, "00": 0, "017": 15, "-017": -15, "0o17": 15, "0O17": 15, "0x1F": 31, "0X1f": 31, "0b101": 5, "0B101": 5, "-0b101": -5,
    "0b102": "0b102", "+5": 5, "-5": -5, "1_000": 1000, "0_7": 7, "0o": "0o", "0x": "0x", "_1": "_1", '"8080"': "8080", "!!str 5": "5",
    "9223372036854775807": 9223372036854775807, "123456789012345678901234567890": 1.2345678901234568e29,
    "0xfffffffffffffffff": "0xfffffffffffffffff",
    # not octal: floats, as Go's fallback has it
    "08": 8.0, "089": 89.0,
    # floats
    "1.5": 1.5, "1.": 1.0, ".5": 0.5, "-.5": -0.5, "1e3": 1000.0, "1E3": 1000.0, "1e+3": 1000.0, "1e-7": 1e-7, "1_0.5": 10.5,
    "!!str 1e3": "1e3", "1e": "1e", "e3": "e3", ".": ".", "1e400": "1e400", "!!float 3": 3,
    # no dates, no base 60
    "2026-11-01": "2026-11-01", "2026-11-01T10:00:00Z": "2026-11-01T10:00:00Z", "2001-12-14 21:59:43.10 -5": "2001-12-14 21:59:43.10 -5",
    "1:30": "1:30", "190:20:30": "190:20:30",
    # text
    "1.2.3": "1.2.3", "100m": "100m", "1Gi": "1Gi", "=": "=", "<": "<", "+": "+", "--": "--", "!foo 5": "5", "!foo yes": "yes",
    "Infinity": "Infinity", "nan": "nan", "|\n    a\n    b": "a\nb\n", ">\n    a\n    b": "a b\n",
    "[yes, no, 08]": [True, False, 8], "{yes: no, 1: 2, 1.5: 3, 08: 1, 0x10: 2, y: 5}": {"true": 5, "1": 2, "1.5": 3, "8": 1, "16": 2},
}  # fmt: skip
MERGES = """\
x: &x {a: 2, b: 2}
z: &z {a: 3, c: 3}
first: {<<: *x, a: 1}
last: {a: 1, <<: *x}
both: {<<: [*x, *z]}
"""
MERGED = {"first": {"a": 1, "b": 2}, "last": {"a": 2, "b": 2}, "both": {"a": 2, "b": 2, "c": 3}}


def value_of(text: str) -> Any:
    """Return the value of the last document."""
    return [one for one in parse(text) if isinstance(one, Document)][-1].value


@pytest.mark.parametrize("written", SCALARS, ids=repr)
def test_scalars(written: str) -> None:
    """A value after a key: its type and value."""
    found = value_of(f"v: {written}\nw: 1\n")["v"]
    assert found == SCALARS[written]
    assert isinstance(found, bool) == isinstance(SCALARS[written], bool)
    assert isinstance(found, str) == isinstance(SCALARS[written], str)


def test_a_merge_overrides_what_stands_before_it() -> None:
    """kubectl's reader does so, against the YAML specification; the user is told."""
    assert {key: value_of(MERGES)[key] for key in MERGED} == MERGED
    warned = [one for one in parse(MERGES) if not isinstance(one, Document)]
    assert [(one.line, one.fatal) for one in warned] == [(4, False)]
    assert "'a'" in warned[0].message


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_line_breaks(line_break: str) -> None:
    """Texts from Windows and old Macs read the same."""
    text = line_break.join(["a: 1", "b: |", "  x", "  y", "c: yes", ""])
    assert value_of(text) == {"a": 1, "b": "x\ny\n", "c": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"v": "\ud83d\ude00"}', "😀"),
        (r'{"v": "\\ud83d"}', r"\ud83d"),
        (r'{"v": "\ud83d"}', "\ufffd"),
        (r'{"v": "a\/b"}', "a/b"),
        ('{\n\t"v":\t1\n}', 1),
        ('{"v": 1e3}', 1000),
    ],
)
def test_json_is_read_as_json(text: str, value: Any) -> None:
    """Surrogate pairs, escaped slashes and tabs, which YAML alone would refuse."""
    assert value_of(text) == {"v": value}


@pytest.mark.needs("kubectl")
def test_kubectl_agrees() -> None:
    """The real thing reads every value of the tables the same."""
    rows = "".join(f"k{number}: {written}\n" for number, written in enumerate(SCALARS))
    text = f"apiVersion: example.org/v1\nkind: Thing\nmetadata: {{name: a}}\n{rows}{MERGES}"
    done = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", "-", "a=b", "-o", "json"],
        input=text.encode("utf-8"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    found = json.loads(done.stdout)
    for number, (written, value) in enumerate(SCALARS.items()):
        assert found.get(f"k{number}") == value, written
    assert {key: found[key] for key in MERGED} == MERGED
