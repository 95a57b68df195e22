"""Runs on file: the same digest after a round trip; what was cut, edited or is of another version is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kchaos.errors import InvalidScenario
from kchaos.history.record import Header, Mark, Run, Write, digest_of, load


def sample() -> Run:
    one = {"kind": "Thing", "metadata": {"name": "a"}, "spec": {"n": 1, "list": [1, 2]}}
    two = {**one, "spec": {"n": 2, "list": [1, 2]}}
    entries = [
        Mark(0.0, "phase", {"name": "boot"}), Write(0.5, "ADDED", "things", "a", 1, "user", one, None),
        Write(1.0, "MODIFIED", "things", "a", 2, "user", two, one), Write(2.0, "DELETED", "things", "a", 3, "user", two, two),
    ]  # fmt: skip
    header = Header(scenario={"seed": 1}, initial={})
    return Run(header, entries, digest_of(header, entries))


def test_round_trip(tmp_path: Path) -> None:
    """What is loaded has the same entries and digest."""
    run = sample()
    run.save(tmp_path / "x.run.jsonl")
    again = load(tmp_path / "x.run.jsonl")
    assert again.entries == run.entries
    assert again.digest == run.digest == digest_of(again.header, again.entries)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    """A file without its last line was cut."""
    path = tmp_path / "x.run.jsonl"
    sample().save(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:3]))
    with pytest.raises(InvalidScenario, match="incomplete"):
        load(path)


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    """The message has file and line."""
    path = tmp_path / "x.run.jsonl"
    sample().save(path)
    lines = path.read_bytes().split(b"\n")
    lines[2] = b"{broken"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InvalidScenario) as caught:
        load(path)
    assert caught.value.location is not None and caught.value.location.line == 3


@pytest.mark.parametrize("version", [0, 2, 99])
def test_unknown_versions_are_refused(tmp_path: Path, version: int) -> None:
    """Clearly, with what to do."""
    path = tmp_path / "x.run.jsonl"
    sample().save(path)
    text = path.read_text(encoding="utf-8").replace('"version":1', f'"version":{version}', 1)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidScenario, match=f"version {version}"):
        load(path)
