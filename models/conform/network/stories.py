"""Which judge a recording of the node network belongs to. All of them are pure functions of the story."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kchaos.models.api.tree import Obj
from kchaos.models.conform.judge import Fact
from kchaos.models.conform.network.conntrack import judge_conntrack
from kchaos.models.conform.network.dns import judge_dns
from kchaos.models.conform.network.overlay import judge_overlay
from kchaos.models.conform.network.rules import judge_rules
from kchaos.models.conform.network.verdicts import judge_distribution, judge_faults, judge_probes

JUDGES: Mapping[str, Callable[[Obj], Iterator[Fact]]] = {
    "proxy-rules": judge_rules,
    "conntrack": judge_conntrack,
    "packet-verdicts": judge_probes,
    "faults": judge_faults,
    "distribution": judge_distribution,
    "dns": judge_dns,
    "overlay": judge_overlay,
}
"""By a recording's ``group``."""
_CLAIMS = ("questions", "probes", "pings", "cases", "steps")
"""Where a recording has what it claims."""


def is_network(found: Obj) -> bool:
    """Tell whether a document is a recording of the node network."""
    return found.get("group") in JUDGES and ("story" in found or "scene" in found) and any(key in found for key in _CLAIMS)


def name_of(story: Obj) -> str:
    """Return a recording's name."""
    return str(story.get("story") or story["scene"])


def judge_network(story: Obj) -> list[Fact]:
    """Return all facts of a recording, judged."""
    return list(JUDGES[story["group"]](story))


def unheld(story: Obj, why: str) -> list[Fact]:
    """Return what a recording claims that could not be judged: none of it holds."""
    claims = next(story[key] for key in _CLAIMS if key in story)
    probes = [probe for claim in claims if isinstance(claim, dict) for probe in claim.get("probes") or (claim,)]
    return [Fact(story["group"], "the recording could not be judged", False, why) for _ in probes]
