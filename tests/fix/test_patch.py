"""Diffs that git takes as they are: names with spaces, missing last line ends, carriage returns; and from where they are applied."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kchaos.fix.patch import changed_lines, placed, unified

TEXTS = st.lists(st.sampled_from(["a", "b", "é", "", "--- x", "+++ y", "\\ z"]), max_size=12)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty git repository."""
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@settings(max_examples=25, deadline=None)
@given(
    before=TEXTS,
    after=TEXTS,
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.tuples(st.booleans(), st.booleans()),
    name=st.sampled_from(["a.yaml", "b c.yaml", "ä.yaml"]),
)
def test_git_makes_of_one_what_the_other_is(
    before: list[str], after: list[str], end: str, last: tuple[bool, bool], name: str, repository: Path
) -> None:
    """Byte for byte."""
    old, new = ((end.join(rows) + (end if closed else "")).encode() or b"x" for rows, closed in zip((before, after), last, strict=True))
    diff = unified(old, new, name)
    if old == new:
        assert diff == b""
        return
    (repository / name).write_bytes(old)
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=diff, cwd=repository, check=True)
    assert (repository / name).read_bytes() == new
    assert changed_lines(diff) >= 1


def test_lines_are_counted_without_the_head() -> None:
    """A line changed is one taken and one given."""
    assert changed_lines(unified(b"a\nb\nc\n", b"a\nB\nc\nd\n", "x")) == 3


def test_paths_begin_where_kchaos_was_called() -> None:
    """Unless files are elsewhere: then in the nearest folder above all of them."""
    assert placed({"shop/a.yaml": "/home/u/shop/a.yaml"}, "/home/u") == ("", {"shop/a.yaml": "shop/a.yaml"})
    assert placed({"../b/a.yaml": "/home/b/a.yaml", "c.yaml": "/home/u/c.yaml"}, "/home/u") == (
        "/home", {"../b/a.yaml": "b/a.yaml", "c.yaml": "u/c.yaml"},
    )  # fmt: skip
    assert placed({"/etc/x.yaml": "/etc/x.yaml"}, "/home/u") == ("/etc", {"/etc/x.yaml": "x.yaml"})


def test_a_patch_is_applied_in_a_folder_of_a_repository(repository: Path) -> None:
    """git takes paths of a plain diff to begin in the current folder, not at the top."""
    folder = repository / "deep"
    folder.mkdir()
    (folder / "f.yaml").write_bytes(b"a\n")
    subprocess.run(["git", "apply", "-"], input=unified(b"a\n", b"b\n", "f.yaml"), cwd=folder, check=True)
    assert (folder / "f.yaml").read_bytes() == b"b\n"
