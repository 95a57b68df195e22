"""The page of a run of real etcd: verdict and witnesses first, then the run over time, then all that a sceptic asks next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from kchaos.engine.etcd.result import EtcdFinding, EtcdResult, FaultLine
from kchaos.history.record import Run
from kchaos.reports.diagram import LEFT, RIGHT, WIDTH
from kchaos.reports.etcd.facts import Facts, facts
from kchaos.reports.etcd.overtime import GRAIN, Overtime, duration, overtime
from kchaos.reports.etcd.verdict import also, around, asked, figures, headline, named
from kchaos.reports.etcd.witness import WIDTH as DRAWN
from kchaos.reports.etcd.witness import Shown, Witness, between, drawn, witnesses
from kchaos.reports.etcd.words import count, frequent, shortened
from kchaos.reports.etcd.words import facts as told
from kchaos.reports.offline import MOST, fill


class Limits(NamedTuple):
    """How many of each sort a page shows; it says how many it leaves out, and result.json has all."""

    findings: int = 20
    """Those that are told in full."""
    lines: int = 100
    """Those that are told in a line."""
    witness: int = 8
    faults: int = 400
    around: int = 12
    errors: int = 20
    watchers: int = 50
    panics: int = 20
    listed: int = 100
    letters: int = 400
    """Of a text of the run."""

    def times(self, share: float) -> Limits:
        """Return a share of them, at least one of each."""
        return Limits(*(max(1, int(one * share)) for one in self))


class Told(NamedTuple):
    """A finding with what shows it."""

    finding: EtcdFinding
    rows: list[Shown | str]
    """Each witness in its order: an operation, or something else in words."""
    picture: Witness | None
    around: list[FaultLine]
    between: str


GLOSSARY = (
    ("linearizable", "every call seems to happen at one instant between its begin and its answer, in an order that all clients agree on"),
    ("serializable read", "a read that any member may answer from its own, perhaps old, state: it need not see the latest, but it must see a state that once was"),
    ("revision", "etcd's counter of changes: each transaction that changes something takes the next one; an answer's header holds the latest"),
    ("mod_revision", "the revision at which a key was last written"),
    ("unknown outcome", "no answer came, or one that says nothing: the call may take effect at any time after its begin, once or never"),
    ("failed", "the call certainly took no effect"),
    ("durable", "what was acknowledged is there for ever after, over crashes and restarts"),
    ("term", "Raft's counter of elections: there is at most one leader in a term"),
    ("applied index", "how far a member has come in the log that all share; one that is cut off stands still"),
    ("quorum", "more than half of the members: without it nothing is acknowledged"),
    ("bit", "a fault whose evidence shows that it did something; one that did nothing counts as no test at all"),
    ("witness", "the two to four operations or events that suffice to show that a property was violated"),
)  # fmt: skip
"""The field's words, as this page uses them."""


def html(result: EtcdResult, run: Run) -> str:
    """Return the page, of at most :data:`kchaos.reports.offline.MOST` bytes."""
    found = facts(run)
    page = ""
    for share in (1.0, 0.5, 0.2, 0.05):
        page = _page(result, found, overtime(result, found, GRAIN / share), Limits().times(share))
        if len(page.encode("utf-8")) <= MOST:
            break
    return page


def _page(result: EtcdResult, found: Facts, picture: Overtime, limits: Limits) -> str:
    told_faults, more_faults = listed(result.faults, limits.faults)
    values = {
        "faults": told_faults, "more_faults": more_faults,
        "r": result, "facts": found, "picture": picture, "headline": headline(result), "asked": asked(result), "also": also(result), "figures": figures(result),
        "findings": [_told(result, one, found) for one in result.findings[: limits.findings]], "glossary": GLOSSARY,
        "standing": {state: named(result, state) for state in ("violated", "unknown", "held", "not exercised")},
    }  # fmt: skip

    def text(value: object) -> str:
        return shortened(str(value), limits.letters)

    helpers = {
        "limits": limits, "duration": _duration, "count": count, "told": told, "text": text, "frequent": frequent, "frame": (WIDTH, LEFT, RIGHT),
        "drawn_width": DRAWN,
    }  # fmt: skip
    return fill("etcd.html.j2", helpers, values, package=__package__)


def listed(faults: Sequence[FaultLine], most: int) -> tuple[list[FaultLine], list[str]]:
    """Return at most so many faults, in their order, of each name as many as of any other; and in words what is left out of each."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(faults):
        by_name[one.name].append(index)
    shown: set[int] = set()
    left = most
    for number, name in enumerate(sorted(by_name, key=lambda name: len(by_name[name]))):  # the rare first: what they leave is for the others
        part = by_name[name][: left // (len(by_name) - number)]
        shown.update(part)
        left -= len(part)
    out = Counter(one.name for index, one in enumerate(faults) if index not in shown)
    bit = Counter(one.name for index, one in enumerate(faults) if index not in shown and one.bit)
    more = [f"{number:,} more {name}, {bit[name]:,} of them bit" for name, number in out.most_common()]
    return [one for index, one in enumerate(faults) if index in shown], more


def _told(result: EtcdResult, one: EtcdFinding, found: Facts) -> Told:
    shown = witnesses(one)
    by_number = {each.number: each for each in shown}
    words = [str(each["words"]) for each in one.proof] or list(one.witness)
    rows = [by_number.get(number, each) for number, each in enumerate(words, start=1)]
    return Told(one, rows, drawn(shown, found), around(result, one), between(shown, found) if shown else "")


def _duration(value: float | None) -> str:
    return "-" if value is None else duration(value)
