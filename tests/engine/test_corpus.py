"""A failure is kept, tried first the next time, and passes once it is mended; what can't be read or does not fit is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kchaos.cli import run_cli
from tests.support import SITUATIONS

BAD = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
GOOD = (SITUATIONS / "budget-blocks-drain.healthy.yaml").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict]:
    code = run_cli(["run", "shop.yaml", "--faults", "drain", "--budget", "30", "--json", *more])
    return code, json.loads(capfd.readouterr().out)


def test_a_failure_is_kept_and_tried_first(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same digest with and without it; it is small, and replays alone; the mended input passes it."""
    (folder / "shop.yaml").write_text(BAD, encoding="utf-8")
    code, first = ask(capfd)
    kept = sorted((folder / "kchaos-corpus" / "shop").iterdir())
    assert code == 1 and kept and first["examples"]["corpus"] == 0
    document = json.loads(kept[0].read_text(encoding="utf-8"))
    assert [step["do"] for step in document["steps"]] == ["drain"] and len(document["topology"]["nodes"]) < 6

    mine = json.dumps({**document, "name": "what people call it"})
    kept[0].write_text(mine, encoding="utf-8")
    code, second = ask(capfd)
    assert code == 1 and second["digest"] == first["digest"]
    assert kept[0].read_text(encoding="utf-8") == mine, "what is kept already stays as it is"
    assert second["examples"]["corpus"] == second["corpus"]["replayed"] == len(kept)
    assert [one["fingerprint"] for one in second["findings"]] == [one["fingerprint"] for one in first["findings"]]
    assert sorted((folder / "kchaos-corpus" / "shop").iterdir()) == kept

    assert run_cli(["replay", str(kept[0])]) == 1
    (folder / "shop.yaml").write_text(GOOD, encoding="utf-8")
    capfd.readouterr()
    code, mended = ask(capfd)
    assert code == 0 and mended["examples"]["corpus"] == len(kept)
    assert second["corpus"]["mended"] == [] and [Path(one).name for one in mended["corpus"]["mended"]] == [one.name for one in kept]


def test_no_corpus_is_written_when_none_is_wanted(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "shop.yaml").write_text(BAD, encoding="utf-8")
    assert ask(capfd, "--corpus", "none")[0] == 1
    assert not (folder / "kchaos-corpus").exists()
    assert ask(capfd, "--corpus", "mine")[0] == 1
    assert list((folder / "mine" / "shop").iterdir())


def test_what_does_not_fit_is_told(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A broken file is a warning with its name, a file about objects that are gone is counted; neither stops the run."""
    (folder / "shop.yaml").write_text(GOOD, encoding="utf-8")
    place = folder / "kchaos-corpus" / "shop"
    place.mkdir(parents=True)
    (place / "KC203-00000000.scenario.json").write_text("{", encoding="utf-8")
    gone = {"format": "kchaos-scenario", "version": 1, "steps": [{"do": "rollout", "args": {"target": "Deployment/default/gone"}}]}
    (place / "KC204-00000000.scenario.json").write_text(json.dumps(gone), encoding="utf-8")
    code = run_cli(["run", "shop.yaml", "--faults", "drain", "--json"])
    said = capfd.readouterr()
    document = json.loads(said.out)
    assert code == 0 and "KC203-00000000.scenario.json" in said.err
    assert "KC204-00000000.scenario.json: steps[0]: no workload Deployment/default/gone" in said.err
    assert document["corpus"]["replayed"] == 0 and [Path(file).name for file in document["corpus"]["other"]] == [
        "KC204-00000000.scenario.json"
    ]


def test_a_scenario_is_shrunk_by_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A pair that fails becomes one drain on a small cluster; a scenario that violates nothing is refused with the reason."""
    (folder / "shop.yaml").write_text(BAD, encoding="utf-8")
    run_cli(["run", "shop.yaml", "--faults", "drain", "--corpus", "none", "--quiet"])
    saved = next((folder / ".kchaos" / "shop").glob("KC203-*.scenario.json"))
    document = json.loads(saved.read_text(encoding="utf-8"))
    document["steps"] += [{"do": "node-pause", "args": {"target": "node-1"}, "when": {"type": "at", "s": 3.5}}]
    saved.write_text(json.dumps(document), encoding="utf-8")
    capfd.readouterr()
    assert run_cli(["shrink", str(saved), "-o", "small.scenario.json"]) == 1
    said = capfd.readouterr().out
    assert "2 steps to 1" in said and "kchaos replay small.scenario.json" in said
    assert run_cli(["replay", "small.scenario.json"]) == 1
    assert run_cli(["shrink", str(saved), "--rule", "KC204"]) == 2
    assert "violates nothing of KC204" in capfd.readouterr().err


def test_where_it_goes_is_looked_at_first(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder, or a file in no folder, is refused before the search."""
    (folder / "shop.yaml").write_text(BAD, encoding="utf-8")
    run_cli(["run", "shop.yaml", "--faults", "drain", "--corpus", "none", "--quiet", "--budget", "9"])
    saved = next((folder / ".kchaos" / "shop").glob("KC203-*.scenario.json"))
    for where, says in (("nodir/small.json", "in no folder that exists"), (".kchaos", "is a folder")):
        assert run_cli(["shrink", str(saved), "-o", where]) == 2
        assert says in capfd.readouterr().err
