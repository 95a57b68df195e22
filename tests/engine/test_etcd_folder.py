"""The folder of a run of real etcd: what others wrote stays as it is, and no proof of a violation goes unasked."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kchaos.check.verdict import Verdict
from kchaos.cli import run_cli
from kchaos.engine.etcd.folder import refuse_foreign, save
from kchaos.engine.etcd.judge import result_of
from kchaos.errors import InvalidScenario
from kchaos.history.record import Header, Run, digest_of, load
from tests.properties.etcd_story import EVENTS, Story


def run_of(seed: int, lost: bool = False) -> Run:
    """Return a run that tells its seed; ``lost``: with a violation."""
    story = Story()
    if lost:
        story.logs["m1"] = (EVENTS[0], *EVENTS[2:])
    header = Header(scenario={"system": "etcd", "seed": seed})
    entries = story.run().entries
    return Run(header, entries, digest_of(header, entries))


def lay(folder: Path, run: Run, logs: tuple[str, ...] = ("m1", "front", "toxiproxy-m1")) -> Verdict:
    """Lay down a run with all that belongs to it."""
    save(run, folder)
    assert run_cli(["etcd", "check", str(folder / "etcd.run.jsonl"), "-q"]) in (0, 1, 3)
    (folder / "logs").mkdir(exist_ok=True)
    for name in logs:
        (folder / "logs" / f"{name}.log").write_text(f"of {run.header.scenario['seed']}\n", encoding="utf-8")
    return result_of(run, command="", saved="").verdict


def seen(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def seed_in(file: Path) -> int:
    return int(load(file).header.scenario["seed"])


def test_a_run_in_which_nothing_is_broken_makes_room_and_nothing_else_goes(tmp_path: Path) -> None:
    assert lay(tmp_path, run_of(1)) == Verdict.PASS
    others = {"logs/app.log": b"mine", "logs/m1.log.gz": b"mine", "notes.html": b"mine", "earlier-1/report.html": b"mine"}
    for name, content in others.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    where, moved, problems = save(run_of(2), tmp_path)
    assert (where, moved, problems) == (tmp_path / "etcd.run.jsonl", None, [])
    assert seed_in(where) == 2
    there = seen(tmp_path)
    assert there.pop("etcd.run.jsonl") and there == others


def test_a_run_that_found_a_violation_is_moved_whole_and_each_into_a_folder_of_its_own(tmp_path: Path) -> None:
    assert lay(tmp_path, run_of(1, lost=True)) == Verdict.FAIL
    first = seen(tmp_path)
    assert save(run_of(2), tmp_path)[1] == tmp_path / "earlier-1"
    assert seen(tmp_path / "earlier-1") == first and sorted(one.name for one in tmp_path.iterdir()) == ["earlier-1", "etcd.run.jsonl"]
    assert lay(tmp_path, run_of(3, lost=True)) == Verdict.FAIL  # the second was not judged: it is moved, too
    assert save(run_of(4), tmp_path)[1] == tmp_path / "earlier-3"
    assert [seed_in(tmp_path / f"earlier-{n}" / "etcd.run.jsonl") for n in (1, 2, 3)] == [1, 2, 3]
    assert seed_in(tmp_path / "etcd.run.jsonl") == 4
    assert run_cli(["etcd", "check", str(tmp_path / "earlier-1" / "etcd.run.jsonl"), "-q"]) == 1


@pytest.mark.parametrize("spoil", [
    lambda folder: (folder / "result.json").unlink(),
    lambda folder: run_of(7).save(folder / "etcd.run.jsonl"),
    lambda folder: (folder / "etcd.run.jsonl").write_bytes((folder / "etcd.run.jsonl").read_bytes()[:-20]),
])  # fmt: skip
def test_what_no_result_speaks_of_may_hold_a_violation(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    """Not judged, judged before another took its place, or cut."""
    lay(tmp_path, run_of(1))
    spoil(tmp_path)
    assert save(run_of(2), tmp_path)[1] == tmp_path / "earlier-1"


def test_an_earlier_run_outlives_one_that_cannot_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, told by a run of which half is written: nothing of the old one goes, the new one is in a temporary folder."""
    lay(tmp_path / "out", run_of(1, lost=True))
    before, new, write = seen(tmp_path / "out"), run_of(2), Run.save
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    def full(self: Run, path: Path) -> None:
        write(self, path)
        if path.is_relative_to(tmp_path / "out"):
            path.write_bytes(path.read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "save", full)
    where, moved, problems = save(new, tmp_path / "out")
    assert where.is_relative_to(tmp_path / "tmp") and seed_in(where) == 2 and moved is None
    assert problems == [f"can't write to {tmp_path / 'out'}: No space left on device"] and seen(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["etcd.run.jsonl", "report.html", "result.json", "logs/m1.log"])
@pytest.mark.parametrize("content", ["", "mine", '{"verdict": "pass", "kchaos": "1"}', "<title>kchaos: pass</title>"])
def test_a_file_of_someone_else_is_refused_before_anything_starts(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr("kchaos.real.backends.cluster_of", lambda *_args, **_options: None)  # nothing that could be started
    assert run_cli(["etcd", "--faults", "none", "--budget", "1s", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path / name} was not written by `kchaos etcd`, and would be overwritten (name another folder by --out" in capfd.readouterr().err
    assert seen(tmp_path) == {name: content.encode()}


def test_logs_of_others_are_refused_only_where_a_run_would_write(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text("mine", encoding="utf-8")
    refuse_foreign(tmp_path)
    (tmp_path / "logs" / "toxiproxy.log").write_text("mine", encoding="utf-8")
    with pytest.raises(InvalidScenario, match=r"toxiproxy\.log was not written by"):
        refuse_foreign(tmp_path)


def test_a_run_that_is_judged_again_writes_both_report_and_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Beside it, in place of what an earlier kchaos made of it, or where it is told to; of others' files it overwrites none."""
    run_of(1, lost=True).save(tmp_path / "rare.jsonl")
    assert run_cli(["etcd", "check", str(tmp_path / "rare.jsonl"), "--json"]) == 1
    printed = capfd.readouterr().out
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == printed and (tmp_path / "report.html").is_file()
    (tmp_path / "result.json").write_text(json.dumps({**json.loads(printed), "verdict": "pass"}), encoding="utf-8")
    for out in ([], ["--out", str(tmp_path / "other")]):
        assert run_cli(["etcd", "check", str(tmp_path / "rare.jsonl"), *out, "-q"]) == 1
    for folder in (tmp_path, tmp_path / "other"):
        assert json.loads((folder / "result.json").read_bytes())["verdict"] == "fail"
        assert "<title>kchaos etcd: fail" in (folder / "report.html").read_text(encoding="utf-8")
    (tmp_path / "other" / "report.html").write_text("mine", encoding="utf-8")
    assert run_cli(["etcd", "check", str(tmp_path / "rare.jsonl"), "--out", str(tmp_path / "other")]) == 2
    assert (tmp_path / "other" / "report.html").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("option", ["-q", "--json"])
def test_who_closes_standard_output_gets_the_exit_code_and_the_files(option: str, tmp_path: Path) -> None:
    run_of(1, lost=True).save(tmp_path / "rare.jsonl")
    command = shlex.join([sys.executable, "-m", "kchaos.cli", "etcd", "check", str(tmp_path / "rare.jsonl"), option])
    done = subprocess.run(["/bin/sh", "-c", f"{command} >&-"], capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "") and (tmp_path / "result.json").is_file()
