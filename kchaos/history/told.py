"""What a watcher was told, as a witness: the request, and each response to it."""

from __future__ import annotations

from kchaos.history.anomaly import Witness, seconds
from kchaos.history.collected import Response, Stretch


def told_up_to(one: Response) -> int:
    """Return the last revision that a response tells of."""
    return max(event.mod_revision for event in one.events) if one.events else one.revision


def asked(stretch: Stretch) -> Witness:
    """Return who asked whom for what."""
    what = f"from revision {stretch.from_revision}" if stretch.from_revision else "from then on"
    key = f"{stretch.prefix}{'' if stretch.single else '*'}"
    return Witness(-1, None, f"watcher {stretch.watcher} asked {stretch.member} at {seconds(stretch.asked_s)} for {key} {what}")


def response(stretch: Stretch, one: Response) -> Witness:
    """Return what it was told in one response."""
    told = "; ".join(event.words() for event in one.events[:4]) or f"that all up to revision {one.revision} had been told"
    more = f"; and {len(one.events) - 4} more" if len(one.events) > 4 else ""
    return Witness(-1, None, f"watcher {stretch.watcher} was told at {seconds(one.t)}: {told}{more}")
