"""The command line as its users meet it: exit codes, one JSON document, replay, explain, and no traceback for a user's mistake."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kchaos.cli import run_cli
from kchaos.engine.change import ChangeResult
from tests.support import GUESTBOOK, ROOT, SITUATIONS

GOOD = SITUATIONS / "one-replica.healthy.yaml"
BAD = SITUATIONS / "quota-blocks-surge.yaml"
WARNS = SITUATIONS / "one-replica.yaml"

Cli = Any


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that runs the command line in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run_cli([str(one) for one in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    yield call
    signal.signal(signal.SIGTERM, before)


def test_help_names_every_command(cli: Cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for command in ("run", "replay", "explain", "faults", "properties", "report", "conform", "schema", "completion"):
        assert f"\n  {command} " in out
        assert cli(command, "--help")[0] == 0


def test_pass_is_0(cli: Cli) -> None:
    code, out, _ = cli("run", GOOD, "--fail-on", "warning")
    assert code == 0
    assert out.startswith("PASS: no finding")
    assert "level 1" in out and "Report: " in out


def test_error_is_1_with_file_and_line(cli: Cli) -> None:
    code, out, _ = cli("run", BAD)
    assert code == 1
    assert out.startswith("FAIL: ")
    assert "exceeded quota" in out and f"{BAD.name}:" in out


def test_warning_fails_only_when_asked(cli: Cli) -> None:
    assert cli("run", WARNS)[0] == 0
    assert cli("run", WARNS, "--fail-on", "warning")[0] == 1


def test_unfinished_level_1_is_unknown(cli: Cli) -> None:
    """A sweep that was cut short is never a pass."""
    code, out, _ = cli("run", GOOD, "--budget", "3")
    assert code == 3
    assert out.startswith("UNKNOWN") and "3/" in out


def test_json_is_one_document(cli: Cli) -> None:
    code, out, err = cli("run", BAD, "--json", "--budget", "200")
    document = json.loads(out)
    assert code == document["exit_code"] == 1
    assert document["schema_version"] == 1 and document["verdict"] == "fail" and document["digest"]
    fields = [
        "seed",
        "examples",
        "workloads",
        "findings",
        "faults",
        "not_modelled",
        "assumptions",
        "kubernetes",
        "topology",
        "command",
        "inputs",
    ]
    assert set(fields) <= set(document)
    for finding in document["findings"]:
        for field in ("id", "fingerprint", "property", "severity", "object", "file", "line", "fault", "figures", "story", "replay"):
            assert field in finding, field
    first = next(f for f in document["findings"] if f["severity"] == "error")
    assert first["file"] == str(BAD) and first["line"] > 0 and first["story"]
    assert {"name", "exercised", "bit", "inert"} <= set(document["faults"][0])
    assert err == ""


def test_a_finding_replays_with_the_same_digest(cli: Cli, tmp_path: Path) -> None:
    cli("run", BAD, "--out", tmp_path / "out")
    scenarios = sorted((tmp_path / "out").glob("*.scenario.json"))
    assert scenarios
    for scenario in scenarios:
        saved = scenario.with_name(scenario.name.replace(".scenario.json", ".run.jsonl"))
        digest = json.loads(saved.read_text(encoding="utf-8").splitlines()[-1])["end"]["digest"]
        first, second = (json.loads(cli("replay", scenario, "--json")[1]) for _ in range(2))
        assert first == second
        assert first["digest"] == digest
        code, out, _ = cli("explain", scenario)
        assert code == 0 and "1. " in out and "source: http" in out
        assert cli("explain", saved)[0] == 0


def test_explain_of_a_rule_names_its_source(cli: Cli) -> None:
    code, out, _ = cli("explain", "kc202")
    assert code == 0 and "KC202" in out and "http" in out
    code, _, err = cli("explain", "KC999")
    assert code == 2 and "KC999" in err


def test_accepted_findings_do_not_count(cli: Cli, tmp_path: Path) -> None:
    """By rule and object, or by fingerprint, with a reason and a date; what is accepted of another object still counts."""
    found = [f for f in json.loads(cli("run", WARNS, "--json")[1])["findings"] if f["severity"] == "warning"]
    assert found

    def code(lines: list[str]) -> int:
        why = ", reason: one replica is cheap, date: 2026-11-01}"
        (tmp_path / "accept.yaml").write_text("accept:\n" + "".join(f"  - {{{one}{why}\n" for one in lines), encoding="utf-8")
        return int(cli("run", WARNS, "--fail-on", "warning", "--config", "accept.yaml")[0])

    assert code([f"id: {f['id']}, object: {f['object']}" for f in found]) == 0
    assert code([f"fingerprint: {f['fingerprint']}" for f in found]) == 0
    assert code([f"id: {f['id']}, object: Deployment/default/another" for f in found]) == 1


def test_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = BAD.read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    code, out, _ = cli("run", "-")
    assert code == 1 and "exceeded quota" in out


def test_context_is_not_under_test(cli: Cli, tmp_path: Path) -> None:
    """Objects of --context exist, but nothing is found of them."""
    (tmp_path / "beside.yaml").write_bytes(WARNS.read_bytes())
    document = json.loads(cli("run", GOOD, "--context", "beside.yaml", "--json")[1])
    assert [f for f in document["findings"] if "beside.yaml" in f["file"] and f["severity"] != "info"] == []


def test_only_the_named_faults(cli: Cli) -> None:
    document = json.loads(cli("run", GOOD, "--faults", "drain,pod-kill", "--json")[1])
    assert {f["name"] for f in document["faults"] if f["exercised"]} == {"drain", "pod-kill"}
    document = json.loads(cli("run", GOOD, "--faults", "none", "--json")[1])
    assert document["examples"]["run"] == 1


def test_quiet_says_the_verdict_only(cli: Cli) -> None:
    _, out, err = cli("run", GOOD, "-q")
    assert len(out.strip().splitlines()) == 1 and err == ""


def test_lists(cli: Cli) -> None:
    for command, name in (("faults", "node-power-loss"), ("properties", "KC202")):
        assert name in cli(command)[1]
        listed = json.loads(cli(command, "--json")[1])
        assert name in json.dumps(listed)
        assert len(cli(command)[1].splitlines()) == len(listed)  # in a pipe, one line for each
    assert "accept" in json.loads(cli("schema")[1])["$defs"]["Settings"]["properties"]
    assert "_KCHAOS_COMPLETE" in cli("completion", "bash")[1]


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no path": (("run",), "PATH"),
    "no such path": (("run", "nowhere"), "nowhere"),
    "an empty folder": (("run", "empty"), "empty"),
    "a glob without a match": (("run", "*.nothing"), "*.nothing"),
    "not YAML": (("run", "broken.yaml"), "broken.yaml:3"),
    "tabs": (("run", "tabs.yaml"), "tab"),
    "an unknown fault": (("run", "good.yaml", "--faults", "meteor"), "meteor"),
    "a budget of nonsense": (("run", "good.yaml", "--budget", "soon"), "soon"),
    "a version of nonsense": (("run", "good.yaml", "--kubernetes", "9.9"), "9.9"),
    "an unknown report": (("run", "good.yaml", "-o", "pdf"), "pdf"),
    "a budget without end": (("run", "good.yaml", "--budget", "infs"), "infs"),
    "no fault by name": (("run", "good.yaml", "--faults", ","), "--faults names no fault"),
    "an empty path": (("run", ""), "an empty path"),
    "a name that no namespace has": (("run", "good.yaml", "-n", "Bad_NS"), "Bad_NS"),
    "values without a chart": (("run", "good.yaml", "-f", "nope.yaml"), "--values needs a chart"),
    "a set without a chart": (("run", "good.yaml", "--set", "a"), "--set needs a chart"),
    "a release without a chart": (("run", "good.yaml", "--release-name", "mine"), "--release-name needs a chart"),
    "settings that are not there": (("run", "good.yaml", "--config", "no.yaml"), "no.yaml: can't read it: there is no such file"),
    "machines twice": (("run", "good.yaml", "--topology", "machines.yaml", "--nodes", "3"), "--topology"),
    "topology that is none": (("run", "good.yaml", "--topology", "broken.yaml"), "broken.yaml"),
    "an unknown setting": (("run", "good.yaml", "--config", "typo.yaml"), "qorum"),
    "no such scenario": (("replay", "nowhere.json"), "nowhere.json"),
    "a scenario that is none": (("replay", "good.yaml"), "good.yaml"),
    "a scenario of a later version": (("replay", "later.json"), "99"),
    "a run cut in half": (("explain", "half.jsonl"), "half.jsonl"),
    "a result that is none": (("report", "later.json"), "later.json"),
    "stories that are none": (("conform", "empty"), "no story"),
    "an unknown command": (("walk",), "walk"),
    "an unknown option": (("run", "good.yaml", "--fast"), "--fast"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_mistake_is_said_in_one_breath(name: str, cli: Cli, tmp_path: Path) -> None:
    """Exit 2, a message that names what is wrong, no traceback."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.yaml").write_bytes(GOOD.read_bytes())
    (tmp_path / "broken.yaml").write_text("apiVersion: v1\nkind: Pod\n  metadata: {\n", encoding="utf-8")
    (tmp_path / "tabs.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n", encoding="utf-8")
    (tmp_path / "machines.yaml").write_text("nodes: 3\n", encoding="utf-8")
    (tmp_path / "typo.yaml").write_text("workloads:\n  Deployment/web:\n    qorum: 2\n", encoding="utf-8")
    (tmp_path / "later.json").write_text('{"format": "kchaos-scenario", "version": 99, "schema_version": 99}', encoding="utf-8")
    (tmp_path / "half.jsonl").write_text('{"format": "kchaos-run", "vers', encoding="utf-8")
    arguments, word = MISTAKES[name]
    code, out, err = cli(*arguments)
    assert code == 2, out + err
    assert word in err
    assert len(err.splitlines()) <= 8


def test_a_folder_that_cannot_be_written_loses_no_verdict(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    code, out, err = cli("run", BAD, "--out", tmp_path / "file" / "out")
    assert code == 1 and out.startswith("FAIL")
    assert "warning" in err and "file" in err


UP = """
import sys
from kchaos.__main__ import main

class Up:
    def find_spec(self, name, path=None, target=None):
        if name == "kchaos.cli":
            sys.stderr.write("up")
            sys.stderr.flush()

sys.meta_path.insert(0, Up())
main()
"""
"""The installed command, which tells when it begins to load the rest: what Python does before belongs to nobody here."""


def _started(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", UP, *(str(one) for one in arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    )
    assert started.stderr is not None
    assert started.stderr.read(2) == "up"
    return started


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
LONG = ("run", ROOT / "fixtures" / "applications" / "online-boutique", "--budget", "5000")
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


def _stopped(folder: Path, jobs: int, number: signal.Signals, *after_s: float) -> tuple[int, str, str]:
    """Start a long run, send it a signal after each of these times, as a terminal does: to all its processes. Return how it ended."""
    running = _started(*LONG, "-j", jobs, folder=folder)
    try:
        for pause in after_s:
            time.sleep(pause)
            if running.poll() is None:
                os.killpg(running.pid, number) if number is signal.SIGINT else running.send_signal(number)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert "Traceback" not in out + err and "never awaited" not in err and "Exception ignored" not in err
    return running.returncode, out, err


def _alive(session: int) -> list[str]:
    """Return the living processes of a session."""
    listed = subprocess.run(["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True, text=True, check=False, encoding="utf-8")
    return [line for line in listed.stdout.splitlines() if not line.startswith("Z")]


@posix
@pytest.mark.parametrize("number", list(CODES), ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt_prints_what_is_known(jobs: int, number: signal.Signals, tmp_path: Path) -> None:
    """While examples run: the partial result, an exit code of its own."""
    code, out, err = _stopped(tmp_path, jobs, number, 6)
    assert (code, err) == (CODES[number][0], f"{CODES[number][1]}: this is what is known so far\n")
    assert out.startswith(("UNKNOWN (interrupted)", "PASS (interrupted)", "FAIL (interrupted)"))


@posix
@pytest.mark.parametrize("after_s", [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 1.3])
def test_an_early_interrupt_is_quiet(after_s: float, tmp_path: Path) -> None:
    """While Python loads, while the cluster boots, and while worker processes start: they say nothing of it."""
    code, _, err = _stopped(tmp_path, 2, signal.SIGINT, after_s)
    assert code == 130 and len(err.split()) < 10


@posix
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("pauses", [(4, 0.02), (4, 0.1), (4, 0.01, 0.01, 0.01, 0.01)], ids=["at once", "soon", "many"])
def test_a_second_interrupt_ends_at_once_and_quietly(jobs: int, pauses: tuple[float, ...], tmp_path: Path) -> None:
    code, _, err = _stopped(tmp_path, jobs, signal.SIGINT, *pauses)
    assert code == 130 and "interrupted" in err


@posix
@pytest.mark.parametrize("after_s", [1.0, 5.0])
def test_workers_end_with_their_parent(after_s: float, tmp_path: Path) -> None:
    """Even if it is killed."""
    running = _started(*LONG, "-j", "2", folder=tmp_path)
    time.sleep(after_s)
    assert _alive(running.pid)
    running.kill()
    running.communicate(timeout=10)
    until = time.monotonic() + 10
    while (left := _alive(running.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def test_no_colour_codes_in_a_pipe(tmp_path: Path) -> None:
    done = _started("run", GUESTBOOK, "--faults", "drain", folder=tmp_path)
    out, err = done.communicate(timeout=120)
    assert "\x1b" not in out + err


@posix
def test_nobody_reads_to_the_end(tmp_path: Path) -> None:
    """`kchaos run … | head -1`: the exit code is still that of the verdict."""
    running = _started("run", BAD, "--faults", "rollout", folder=tmp_path)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert (running.wait(120), "rror" in err) == (1, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_output_that_can_not_be_written(options: tuple[str, ...], tmp_path: Path) -> None:
    """The verdict is told on standard error."""
    command = [sys.executable, "-m", "kchaos.cli", "run", str(BAD), "--faults", "rollout", *options]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=full, stderr=subprocess.PIPE, text=True,
            encoding="utf-8", check=False,
        )  # fmt: skip
    assert done.returncode == 4 and done.stderr.startswith("FAIL: 1 error")
    assert "can't write to standard output" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_can_not_be_written_is_told_first(cli: Cli, tmp_path: Path) -> None:
    """Nobody learns it after minutes; and the verdict is not lost."""
    (tmp_path / "file").touch()
    code, out, err = cli("run", BAD, "--faults", "rollout", "--out", "file/reports")
    assert code == 1 and out.startswith("FAIL")
    first = err.splitlines()[0]
    assert first.startswith("warning: can't write to file/reports: ") and "temporary folder" in first


@pytest.mark.parametrize(("option", "says"), [
    ("--out", "the name is empty"), ("--corpus", "names no folder (write `none`"), ("-o", "no report is named (write one or more of html"),
    ("--baseline", "the name is empty"), ("--topology", "the name is empty"),
])  # fmt: skip
def test_an_empty_value_is_refused(option: str, says: str, cli: Cli) -> None:
    """Such as that of a variable that is not set: it would mean the current folder, or nothing."""
    code, _, err = cli("run", BAD, option, "")
    assert code == 2 and says in err


def test_ctrl_c_in_the_search_for_a_change(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as everywhere; what was found stays."""
    stopped = ChangeResult(passes=False, stopped="interrupted")
    monkeypatch.setattr("kchaos.commands.fix.change", lambda *_: stopped)
    code, out, err = cli("run", BAD, "--faults", "rollout", "--fix")
    assert code == 130 and out.startswith("FAIL") and "interrupted: this is what was found to change so far" in err


def test_reports_of_every_sort(cli: Cli, tmp_path: Path) -> None:
    """`kchaos report` writes what `kchaos run` does, from result.json alone, and with the bar of the run."""
    names = ["kchaos.sarif", "report.html", "report.md", "junit.xml", "result.json"]
    assert cli("run", WARNS, "--out", "out", "-o", "html,junit,json,sarif,md", "--budget", "12", "--fail-on", "warning")[0] == 1
    code, out, _ = cli("report", "out/result.json", "-o", "html,junit,json,sarif,md", "--out", "again")
    assert code == 0 and sorted(Path(line).name for line in out.splitlines()) == sorted(names)
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert "<failure" in (tmp_path / "again" / "junit.xml").read_text(encoding="utf-8")
    assert cli("report", "out/result.json", "-o", "pdf")[0] == 2


def test_a_baseline_lets_known_findings_pass(cli: Cli) -> None:
    """The same input passes against its own result, and fails against that of another; a wrong file is named."""
    assert cli("run", BAD, "--out", "out", "-o", "json", "--faults", "rollout")[0] == 1
    code, out, _ = cli("run", BAD, "--out", "new", "--faults", "rollout", "--baseline", "out/result.json")
    assert code == 0 and out.startswith("PASS: no new finding (") and "known: in the baseline" in out
    assert cli("run", GOOD, "--out", "good", "-o", "json", "--faults", "rollout")[0] == 0
    assert cli("run", BAD, "--out", "new", "--faults", "rollout", "--baseline", "good/result.json")[0] == 1
    code, _, err = cli("run", BAD, "--baseline", "nothing.json")
    assert code == 2 and "nothing.json" in err
    assert cli("run", BAD, "--baseline", "out/result.json", "--sweep", "writes")[0] == 2


def test_shards_merge_to_one_verdict(cli: Cli) -> None:
    """Each runs its part; the report over all decides; one that is missing makes it unknown; a shard is for the sweep of faults."""
    files = []
    for number in (1, 2):
        code, out, _ = cli(
            "run", GOOD, "--shard", f"{number}/2", "--faults", "drain,rollout", "-o", "json", "--out", f"s{number}", "--budget", "40"
        )
        assert code == 0 and out.startswith(f"PASS (shard {number}/2): ")
        files.append(f"s{number}/result.json")
    code, out, _ = cli("report", *files, "-o", "json,md", "--out", "all")
    assert code == 0 and out.splitlines()[-1].startswith("PASS: ") and " in 40 examples" in out
    code, out, _ = cli("report", files[0], "-o", "md")
    assert code == 3 and out.splitlines()[-1].startswith("UNKNOWN: shard 2/2 is missing")
    assert cli("report", files[0], files[0])[0] == 2
    assert cli("run", GOOD, "--shard", "3/2")[0] == 2
    assert [cli("run", GOOD, "--shard", "1/2", "--sweep", sweep)[0] for sweep in ("writes", "stale", "triggers")] == [2, 2, 2]
