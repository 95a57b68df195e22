"""`kchaos conform`: recordings of real controllers, schedulers and nodes' networks, executed here and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from kchaos.engine.output import harmless
from kchaos.errors import InvalidScenario, KchaosError, Location
from kchaos.models.conform.judge import Fact, judge
from kchaos.models.conform.network.stories import is_network, judge_network, name_of, unheld
from kchaos.models.conform.stories import run_story


def _stories(paths: tuple[str, ...]) -> list[Path]:
    out: list[Path] = []
    for one in paths:
        path = Path(one)
        if path.is_dir():
            out += sorted(path.rglob("*.json"))
        elif path.is_file():
            out.append(path)
        else:
            raise InvalidScenario("no such file or folder", location=Location(one))
    return out


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidScenario(f"not a story: {error}", location=Location(str(path))) from error
    if not isinstance(found, dict):
        return None
    is_story = "story" in found and "cluster" in found and ("facts" in found or "pods" in found)
    return found if is_story or is_network(found) else None


def _unheld(story: dict[str, Any], why: str) -> list[Fact]:
    """Return the facts of a story that could not be executed: none of them holds."""
    if is_network(story):
        return unheld(story, why)
    if "pods" in story:
        return [Fact(key, "the story could not be executed", False, why) for pod in story["pods"] for key in pod.get("expect") or ()]
    return [fact._replace(holds=False, seen=why) for fact in judge(story, [])]


def conform(paths: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Judge all stories; exit 1 if any fact does not hold, 2 if there is no story."""
    groups: dict[str, list[int]] = {}
    stories: list[dict[str, Any]] = []
    for path in _stories(paths):
        story = _read(path)
        if story is None:
            continue
        failure = ""
        facts: list[Fact] = []
        try:
            facts = judge_network(story) if is_network(story) else judge(story, run_story(story))
        except KchaosError as error:
            failure = str(error)
        except Exception as error:  # a defect here must not hide what the other stories show; all facts of this one count as not held
            failure = f"{type(error).__name__}: {error}"
        if failure:
            facts = _unheld(story, failure)
        held = sum(fact.holds for fact in facts)
        group = str(story.get("group", "other"))
        totals = groups.setdefault(group, [0, 0, 0])
        totals[0] += held
        totals[1] += len(facts)
        totals[2] += 1
        line: dict[str, Any] = {"story": name_of(story), "file": str(path), "group": group, "held": held, "of": len(facts)}
        if failure:
            line["not_executed"] = failure
        line["failed"] = [[fact.sort, fact.text, fact.seen] for fact in facts if not fact.holds]
        stories.append(line)
        if verbose and not as_json:
            for sort, text, seen in line["failed"]:
                click.echo(harmless(f"{line['story']}: {sort}: {text}  [{seen}]"))
    if not stories:
        raise InvalidScenario(
            "no story in these paths",
            hint="give recorded story files: JSON with story, cluster, and facts or pods; or recordings of the node network",
        )
    held, of = sum(t[0] for t in groups.values()), sum(t[1] for t in groups.values())
    table = {
        name: {"held": t[0], "of": t[1], "stories": t[2], "share": round(t[0] / t[1], 4) if t[1] else None}
        for name, t in sorted(groups.items())
    }
    missing = [line["story"] for line in stories if "not_executed" in line]
    if as_json:
        click.echo(json.dumps({"stories": stories, "facts": {"held": held, "of": of}, "groups": table, "not_executed": missing}, indent=1))
    else:
        for name, row in table.items():
            share = f"{100 * row['share']:5.1f} %" if row["share"] is not None else "      -"
            click.echo(f"{name:16} {share}  {row['held']:6} of {row['of']:6} facts in {row['stories']} stories")
        click.echo(f"{'all':16} {100 * held / max(1, of):5.1f} %  {held:6} of {of:6} facts in {len(stories)} stories")
        if missing:
            click.echo(f"not executed: {len(missing)} ({', '.join(missing[:5])}{' …' if len(missing) > 5 else ''})")
    return 0 if held == of and not missing else 1
