"""From an answered question to what to change: the search, the diff, what it costs and leaves, and commands for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Severity
from kchaos.engine.change import ChangeResult, CommandResult
from kchaos.engine.execute import Answer, Prepared, Question
from kchaos.errors import HarnessError
from kchaos.fix.edits import Op, at
from kchaos.fix.files import Draft, encoded
from kchaos.fix.kustomize import kustomization
from kchaos.fix.operator import commands
from kchaos.fix.patch import changed_lines, unified
from kchaos.fix.scene import Option, Scene, Weakness, store_in
from kchaos.fix.search import Outcome, Search
from kchaos.fix.trial import Attempt, Lab, Meter, Spent
from kchaos.models.manifests.load import load

SECONDS = 120.0
"""How long the search may take."""
LEFT = 12
"""Findings that are told to be left."""
COMMANDS = 6
"""Commands of operators that are told."""


class Places(NamedTuple):
    """Where files are: texts that are ``rendered`` from something else; the folder of the diff; names in it.

    ``base``: what a kustomization over what is rendered builds on; ``says``: how it is used, line by line.
    """

    rendered: Collection[str] = ()
    root: str = ""
    names: Mapping[str, str] = {}
    base: str = "rendered.yaml"
    says: Sequence[str] = ()


def suggest(question: Question, answer: Answer, places: Places, tick: Callable[[int], None] = lambda count: None) -> ChangeResult:
    """Search what to change. ``tick`` is told how many examples ran."""
    budget = question.budget
    meter = Meter(budget.examples, min(SECONDS, budget.seconds if budget.seconds is not None else math.inf), tick)
    lab = Lab(question, answer.prepared, meter)
    draft = Draft.of(answer.prepared.loaded.manifests, question.texts, places.rendered, question.namespace)
    base = lab.attempt(draft, answer.prepared, answer.done)
    found = Search(lab, base).run()
    _check(question, draft, found.best.draft)
    operated: list[CommandResult] = []
    stopped = found.stopped
    try:
        for one in commands(lab, found.best) if stopped != "interrupted" else ():
            operated.append(one)
            if len(operated) == COMMANDS:
                break
    except Spent:
        stopped = "budget"
    except KeyboardInterrupt:
        stopped = "interrupted"
    result = _left(base, found, lab, question)
    if found.best is not base:
        result = msgspec.structs.replace(result, **_changed(question, base, found, places))
    return msgspec.structs.replace(result, commands=tuple(operated), stopped=stopped, examples=meter.examples)


def _left(base: Attempt, found: Outcome, lab: Lab, question: Question) -> ChangeResult:
    """Return how far the search got, and what is left."""
    best = found.best
    words = [f"{one.rule} {one.object}: {one.summary}{_why_no_more(one, best.draft)}" for one in best.weak]
    words += [f"{one.id} {one.object}: {one.summary}" for one in best.findings if not one.examples]
    more = [f"and {len(words) - LEFT} more"] if len(words) > LEFT else []
    still = {one.fingerprint for one in best.findings}
    mended = tuple(one.fingerprint for one in base.findings if one.fingerprint not in still)
    return ChangeResult(
        passes=not best.fails(question.fail_on), before=base.score, after=best.score, mended=mended, left=(*words[:LEFT], *more),
        tried=found.tried, refused=found.refused,
    )  # fmt: skip


def _why_no_more(one: Weakness, draft: Draft) -> str:
    """Say why no second pod is suggested where the rule asks for one."""
    found = draft.objects.get(one.object)
    image = store_in(found.obj) if found is not None else ""
    if one.rule == "KC202" and image and "its only pod" in one.summary:
        return f" (no second pod is suggested: {image} keeps data of its own)"
    volume = Scene(draft.objects, {}).node_data(one.object) if found is not None else ""
    if one.rule == "KC202" and volume and "its only pod" in one.summary:
        return f" (no second pod is suggested: in its volume {volume} it keeps data on its node)"
    return ""


def _changed(question: Question, base: Attempt, found: Outcome, places: Places) -> dict[str, Any]:
    """Return the change itself: in words, as a diff, and what it costs."""
    best, draft = found.best, found.best.draft
    diffs = [
        unified(text.data, encoded(draft.texts[text.name], text.data), places.names.get(text.name, text.name))
        for text in {text.name: text for text in question.texts}.values()
        if text.name in draft.texts
    ]
    diff = b"".join(dict.fromkeys(diffs))  # a file may be given under two names
    rendered = [edit for edit in draft.edits if draft.objects[edit.object].file not in draft.texts]
    options = [pick.option for pick in found.picks if any(edit in draft.edits for edit in pick.option.edits)]
    level1 = best.done.examples
    clean = [one for one in level1 if not any(violation.severity is not Severity.INFO for _, violation in one.violations)]
    return {
        "edits": tuple(told(base.draft, draft)), "diff": diff.decode("utf-8", "replace"), "root": places.root, "lines": changed_lines(diff),
        "pods": _pods(best.prepared) - _pods(base.prepared),
        "patches": kustomization(base.draft, draft, rendered, places.base, places.says) if rendered else {},
        "nodes": len(best.prepared.machines.topology.nodes) - len(base.prepared.machines.topology.nodes),
        "needs": tuple(dict.fromkeys(one.needs for one in options if one.needs)),
        "gives_up": tuple(dict.fromkeys(one.gives_up for one in options if one.gives_up and not _takes_back(one, base.draft))),
        "level1": (len(clean), len(best.done.examples)),
    }  # fmt: skip


def told(before: Draft, after: Draft) -> Iterator[str]:
    """Yield each edit in words: of which object, and what it changes there."""
    objects = {ident: one.obj for ident, one in before.objects.items()}
    for edit in after.edits:
        kind, _, rest = edit.object.partition("/")
        words = edit.words(objects[edit.object])
        yield words if edit.op is Op.ADD else f"{kind} {rest.strip('/')}: {words}"
        objects[edit.object] = edit.on(objects[edit.object])


def _takes_back(option: Option, before: Draft) -> bool:
    """Tell whether an option only takes away what the search itself had put there: the user gives nothing up."""
    gone = [edit for edit in option.edits if edit.op is Op.REMOVE]
    return bool(gone) and all(at(before.objects[edit.object].obj, edit.path) is None for edit in gone)


def _pods(prepared: Prepared) -> int:
    return sum(one.replicas for one in prepared.booted.workloads.values())


def _check(question: Question, before: Draft, after: Draft) -> None:
    """See that the edited texts hold the objects that were simulated. Raises HarnessError."""
    if after.edits and before.texts:
        found = {one.id: one.obj for one in load(after.written(question.texts), question.namespace, question.kubernetes).manifests}
        wanted = {ident: one.obj for ident, one in after.objects.items() if one.file in after.texts}
        if any(found.get(ident) != obj for ident, obj in wanted.items()):
            raise HarnessError("the edited files do not hold the objects that were simulated")
