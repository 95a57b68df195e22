"""Which facts of a recording hold in an observed log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.conform.observe import Observed
from kchaos.models.conform.projection import leaves

TOLERANCE_S, TOLERANCE_SHARE = 0.6, 0.05
STEP_SLACK_S = 0.02


class Fact(NamedTuple):
    """One fact of a recording: its sort, what it says, whether it holds, and what was seen instead."""

    sort: str
    text: str
    holds: bool
    seen: str = ""


def judge(story: Obj, lines: Sequence[Obj]) -> list[Fact]:
    """Return all facts of a story, judged."""
    if "pods" in story:
        return list(_scheduled(story, lines))
    observed = Observed(lines, story["steps"], float(story["until_s"]))
    facts: Obj = story["facts"]
    return [
        *_final(facts, observed), *_milestones(facts, observed), *_sequences(facts, observed), *_order(facts, observed),
        *_timing(facts, observed), *_counts(facts, observed, lines),
    ]  # fmt: skip


def _final(facts: Obj, seen: Observed) -> Iterator[Fact]:
    for role, expected in (facts.get("final") or {}).items():
        got = seen.final.get(role, [])
        if len(got) != expected["n"]:
            yield Fact("final", f"{role}: {expected['n']} object(s) at the end", False, f"got {len(got)}")
            continue
        wrong = []
        for index, wanted in enumerate(expected.get("is") or ()):
            have = dict(leaves(got[index]))
            for path, value in wanted.items():
                if path not in have:
                    if value not in (None, 0, "", False, []):
                        wrong.append(f"[{index}]{path}: want {value!r}, absent")
                elif have[path] != value:
                    wrong.append(f"[{index}]{path}: want {value!r} got {have[path]!r}")
        yield Fact("final", f"{role}: final state", not wrong, "; ".join(wrong[:4]))
    for role, counts in (facts.get("spread") or {}).items():
        yield Fact(
            "final", f"{role}: pods per node, most first: {counts}", seen.spread.get(role, []) == counts, f"got {seen.spread.get(role)}"
        )
    for kind, roles in (facts.get("roles") or {}).items():
        others = sorted({one.role: None for one in seen.milestones if one.role.startswith(kind + ":") and one.role not in roles})
        yield Fact("final", f"no other {kind} than {len(roles)} listed role(s) ever appears", not others, f"unexpected {others[:4]}")
    for role in facts.get("absent") or ():
        yield Fact("final", f"{role}: does not exist at the end", not seen.final.get(role))


def _milestones(facts: Obj, seen: Observed) -> Iterator[Fact]:
    for role, table in (facts.get("milestones") or {}).items():
        for text, expected in table.items():
            n = seen.count.get(f"{role} {text}", 0)
            yield Fact("milestone", f"{role} {text} happens {expected['n']} time(s)", n == expected["n"], f"got {n}")
    for text in facts.get("never") or ():
        n = seen.count.get(text, 0)
        yield Fact("milestone", f"{text} never happens", n == 0, f"got {n}")
    for role, lives in (facts.get("lives") or {}).items():
        got = seen.lives.get(role, {})
        wrong = [f"{life}: want {n} got {got.get(life, 0)}" for life, n in lives.items() if got.get(life, 0) != n]
        wrong += [f"unexpected {life} x{n}" for life, n in got.items() if life not in lives]
        yield Fact("life", f"{role}: pod lives", not wrong, "; ".join(wrong[:3]))


def _sequences(facts: Obj, seen: Observed) -> Iterator[Fact]:
    for role, expected in (facts.get("sequences") or {}).items():
        got = seen.sequences.get(role, [])
        exact = bool(expected.get("exact"))
        holds = got == expected["is"] if exact else _within(expected["is"], got)
        yield Fact(
            "sequence",
            f"{role}: status sequence ({'exact' if exact else 'contains in order'})",
            holds,
            f"want {expected['is']} got {got}"[:400],
        )


def _within(wanted: Sequence[str], got: Sequence[str]) -> bool:
    rest = iter(got)
    return all(any(one == other for other in rest) for one in wanted)


def _order(facts: Obj, seen: Observed) -> Iterator[Fact]:
    for first, second, *_ in facts.get("order") or ():
        text = f"{first}  before  {second}"
        if first not in seen.order or second not in seen.order:
            yield Fact("order", text, False, "missing: " + ", ".join(one for one in (first, second) if one not in seen.order))
            continue
        a, b = seen.at[first], seen.at[second]
        by_time = first.startswith("step ") or second.startswith("step ")
        holds = a <= b + STEP_SLACK_S if by_time else seen.order[first] < seen.order[second]
        yield Fact("order", text, holds, f"{a} vs {b}")


def _timing(facts: Obj, seen: Observed) -> Iterator[Fact]:
    for first, second, low, high in facts.get("timing") or ():
        text = f"{first} -> {second} in {low}..{high} s"
        if first not in seen.at or second not in seen.at:
            yield Fact("timing", text, False, "missing")
            continue
        slack = TOLERANCE_S + TOLERANCE_SHARE * high
        got = seen.at[second] - seen.at[first]
        yield Fact("timing", text, low - slack <= got <= high + slack, f"{got:.3f}")


def _counts(facts: Obj, seen: Observed, lines: Sequence[Obj]) -> Iterator[Fact]:
    """Judge requests and events, each only if the log has any."""
    wrote = any("actor" in line for line in lines)
    for text, (low, high) in (facts.get("writes") or {}).items() if wrote else ():
        n = seen.writes.get(text, 0)
        yield Fact("writes", f"{text}: {low}..{high}", low <= n <= high, f"got {n}")
    for role, expected in (facts.get("events") or {}).items() if seen.events else ():
        got = seen.events.get(role, [])
        if expected.get("exact"):
            yield Fact("event", f"{role}: events", got == expected["is"], f"want {expected['is']} got {got}"[:500])
            continue
        counts = Counter(got)
        wrong = [
            f"{text}: want {lo}..{hi} got {counts[text]}" for text, (lo, hi) in expected["counts"].items() if not lo <= counts[text] <= hi
        ]
        yield Fact("event", f"{role}: events", not wrong, "; ".join(wrong)[:500])


def _scheduled(story: Obj, lines: Sequence[Obj]) -> Iterator[Fact]:
    by_pod: dict[str, Any] = {line["pod"]: line for line in lines if "pod" in line}
    for pod in story["pods"]:
        expected, name = pod["expect"], pod["object"]["metadata"]["name"]
        got = by_pod.get(name)
        if got is None:
            yield Fact("sched", f"{name}: has a result", False, "missing")
            continue
        if "nodes" in expected:
            yield Fact(
                "sched",
                f"{name}: scheduled to {' or '.join(expected['nodes'])}",
                got.get("node") in expected["nodes"],
                f"got {got.get('node')} {got.get('message', '')}",
            )
        elif "reason" in expected:
            holds = not got.get("node") and got.get("reason") == expected["reason"]
            yield Fact("sched", f"{name}: not scheduled, {expected['reason']}", holds, f"got {got.get('node')} {got.get('reason')}")
            if "message" in expected:
                yield Fact(
                    "sched",
                    f"{name}: message {expected['message']}",
                    got.get("message") == expected["message"],
                    f"got {got.get('message')}",
                )
        if "nominated" in expected:
            yield Fact(
                "sched",
                f"{name}: nominated {expected['nominated']}",
                got.get("nominated") == expected["nominated"],
                f"got {got.get('nominated')}",
            )
        if "victims" in expected:
            yield Fact(
                "sched",
                f"{name}: victims {expected['victims']}",
                sorted(got.get("victims") or []) == expected["victims"],
                f"got {got.get('victims')}",
            )
