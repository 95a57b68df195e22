"""The search: options are tried on what failed first, what helps is kept, level 1 has the last word, and what is not needed goes again.

What is tried follows from the campaign alone, so with a budget of examples two searches try the same. Only time can cut them short.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kchaos.check.property import Severity
from kchaos.engine.cases import Case
from kchaos.engine.execute import Prepared
from kchaos.fix.candidates import options
from kchaos.fix.edits import Edit, Op, at
from kchaos.fix.files import Draft
from kchaos.fix.kustomize import refuse_unpatchable
from kchaos.fix.scene import Option, Scene, Weakness
from kchaos.fix.surgery import EditRefused
from kchaos.fix.trial import Attempt, Lab, Spent
from kchaos.models.api.tree import Obj

ROUNDS = 4
"""How often level 1 is asked; each time what it still shows is mended further."""
UNSEEN = "HorizontalPodAutoscaler/"
"""Objects that do nothing in a simulation: an edit of one stays as long as what it goes with."""

Key = tuple[str, str, str]


class Pick(NamedTuple):
    """An option that is tried for a weakness, and what it is about."""

    weakness: Weakness
    option: Option
    subjects: tuple[str, ...]


class Outcome(NamedTuple):
    """What a search came to. ``best`` is the attempt to begin with if nothing helped."""

    best: Attempt
    picks: tuple[Pick, ...]
    tried: int
    """Changes that were simulated."""
    refused: tuple[str, ...] = ()
    """Why options could not be written into the files."""
    stopped: str = ""
    """Why it ended early: ``budget``, ``interrupted``, or nothing."""


class Search:
    """One search, from the attempt that the campaign was."""

    def __init__(self, lab: Lab, base: Attempt) -> None:
        self._lab = lab
        self._base = base
        self._best = base
        self._best_picks: tuple[Pick, ...] = ()
        self._chosen: dict[Key, Pick] = {}
        self._failed: list[tuple[Key, tuple[Edit, ...]]] = []
        self._refused: dict[str, None] = {}
        self._tried = 0
        self._worst = _worst(base.weak)

    def run(self) -> Outcome:
        """Search until nothing is left to mend or to try, or the budget is spent."""
        stopped = ""
        try:
            self._rounds()
            self._without_needless()
        except Spent:
            stopped = "budget"
        except KeyboardInterrupt:
            stopped = "interrupted"
        return Outcome(self._best, self._best_picks, self._tried, tuple(self._refused), stopped)

    def _rounds(self) -> None:
        attempt = self._base
        for _ in range(ROUNDS):
            if not self._mend(attempt.weak):
                return
            attempt = self._level1(self._draft())
            if attempt.score < self._best.score:
                self._best, self._best_picks = attempt, tuple(self._chosen.values())
            if not attempt.weak:
                return
            self._reopen(attempt.weak)

    def _level1(self, draft: Draft) -> Attempt:
        self._tried += 1
        return self._lab.level1(draft)

    def _draft(self, more: Sequence[Edit] = ()) -> Draft:
        draft = self._base.draft.with_edits(settled([*_edits(self._chosen.values()), *more], self._base.draft))
        refuse_unpatchable(self._base.draft, draft)
        return draft

    def _reopen(self, weak: Sequence[Weakness]) -> None:
        """Take back what level 1 shows not to help, and what made things worse with nothing left to mend that."""
        for one in weak:
            if one.key in self._chosen:
                self._fail(self._chosen.pop(one.key))
        scene = self._lab.scene(self._draft(), self._base.prepared.booted)
        for one in weak:
            if not self._new(one) or self._next(one, scene) is not None:
                continue
            for pick in [pick for pick in self._chosen.values() if _about(one, pick, scene)]:
                self._fail(self._chosen.pop(pick.weakness.key))

    # -- mending ---------------------------------------------------------------------------------------------------------

    def _mend(self, weak: Sequence[Weakness]) -> bool:
        """Try options until each weakness is gone or has none left; tell whether what is chosen has changed."""
        open_ = {one.key: one for one in weak}
        before = dict(self._chosen)
        while True:
            scene = self._lab.scene(self._draft(), self._base.prepared.booted)
            picks = self._picks(tuple(open_.values()), scene)
            if not picks:
                return self._chosen != before
            self._tried += 1
            prepared = self._lab.boot(self._draft(_edits(picks)))
            if refused := _refusals(prepared, self._base.prepared, picks):
                for pick in refused:
                    self._fail(pick)
                continue
            asked = _asked(tuple(open_.values()), picks, scene)
            seen = self._lab.weaknesses(self._lab.cases(prepared, _cases(asked)))
            self._learn(picks, seen, scene)
            for one in _gone(asked, seen, [pick for pick in picks if pick.weakness.key in self._chosen], scene):
                open_.pop(one.key)

    def _picks(self, weak: Sequence[Weakness], scene: Scene) -> list[Pick]:
        """Return an option for the worst weakness of each subject that has one left."""
        out: list[Pick] = []
        busy: dict[str, None] = {}
        for one in weak:
            subjects = scene.subjects(one)
            while not any(name in busy for name in subjects) and (option := self._next(one, scene)) is not None:
                pick = Pick(one, option, subjects)
                try:
                    self._draft([*_edits(out), *option.edits])
                except EditRefused as why:
                    self._refused[str(why)] = None
                    self._fail(pick)
                    continue
                out.append(pick)
                busy |= dict.fromkeys([*subjects, *(edit.object for edit in option.edits)])
        return out

    def _next(self, one: Weakness, scene: Scene) -> Option | None:
        """Return the first option of a weakness that has not failed yet."""
        return next((option for option in options(one, scene) if (one.key, option.edits) not in self._failed), None)

    def _fail(self, pick: Pick) -> None:
        self._failed.append((pick.weakness.key, pick.option.edits))

    def _learn(self, picks: Sequence[Pick], seen: Sequence[Weakness], scene: Scene) -> None:
        """Choose the picks that helped: their weakness is gone, and nothing is worse than what it was."""
        shown = {one.key for one in seen}
        for pick in picks:
            worse = [one for one in seen if one.severity.rank < pick.weakness.severity.rank and _about(one, pick, scene) and self._new(one)]
            if pick.weakness.key in shown or worse:
                self._fail(pick)
            else:
                self._chosen[pick.weakness.key] = pick

    def _new(self, one: Weakness) -> bool:
        """Tell whether something is worse than anything that the campaign found of the same rule and object."""
        return one.severity.rank < self._worst.get((one.rule, one.object), Severity.INFO).rank

    # -- and no more than is needed --------------------------------------------------------------------------------------

    def _without_needless(self) -> None:
        """Leave out edits that level 1 does not miss: cases that failed before say which, level 1 confirms all at once."""
        edits = settled(_edits(self._best_picks), self._base.draft)
        if len(edits) < 2:
            return
        kept, untried = list(edits), [edit for edit in reversed(edits) if not edit.object.startswith(UNSEEN)]
        alone: list[Edit] = []
        while untried or alone:
            group = self._apart(untried) if untried else [alone.pop(0)]
            untried = [edit for edit in untried if edit not in group]
            fewer = [edit for edit in kept if edit not in group]
            try:
                missed = self._missed(fewer, [name for edit in group for name in self._about(edit)])
            except EditRefused:
                alone += group if len(group) > 1 else []
                continue  # other edits stand on these
            needed = [edit for edit in group if any(name in missed for name in self._about(edit))]
            kept = [edit for edit in kept if edit not in group or edit in needed]
            alone += needed if len(needed) > 1 else []  # one may be missed only because another is away: a webhook stops its own pods
        kept = [edit for edit in kept if not edit.object.startswith(UNSEEN) or any(one in kept for one in self._with(edit))]
        if len(kept) < len(edits):
            attempt = self._level1(self._base.draft.with_edits(kept))
            if attempt.score <= self._best.score:
                self._best = attempt

    def _about(self, edit: Edit) -> list[str]:
        """Return what an edit is for."""
        return [name for pick in self._best_picks if edit in pick.option.edits for name in (*pick.subjects, edit.object)]

    def _with(self, edit: Edit) -> list[Edit]:
        """Return the edits that an edit goes with."""
        return [
            one for pick in self._best_picks if edit in pick.option.edits for one in pick.option.edits if not one.object.startswith(UNSEEN)
        ]

    def _apart(self, edits: Sequence[Edit]) -> list[Edit]:
        """Return edits of which each is for something else: they can be left out at once, and told apart."""
        out: list[Edit] = []
        busy: dict[str, None] = {}
        for edit in edits:
            if not any(name in busy for name in self._about(edit)):
                out.append(edit)
                busy |= dict.fromkeys(self._about(edit))
        return out

    def _missed(self, edits: Sequence[Edit], names: Sequence[str]) -> list[str]:
        """Return what goes wrong with these edits alone and does not with all: the objects, and the workloads behind them."""
        prepared = self._lab.boot(self._base.draft.with_edits(edits))
        self._tried += 1
        scene = self._lab.scene(self._base.draft, self._base.prepared.booted)
        weak = [*self._base.weak, *(pick.weakness for pick in self._best_picks)]
        cases = _cases([one for one in weak if any(name in names for name in (one.object, *scene.subjects(one)))])
        known = {one.key for one in self._best.weak}
        seen = [one for one in self._lab.weaknesses(self._lab.cases(prepared, cases)) if one.key not in known]
        return [name for one in seen for name in (one.object, *scene.subjects(one))]


def _worst(weak: Sequence[Weakness]) -> dict[tuple[str, str], Severity]:
    out: dict[tuple[str, str], Severity] = {}
    for one in weak:
        out.setdefault((one.rule, one.object), one.severity)  # the worst come first
    return out


def _edits(picks: Iterable[Pick]) -> list[Edit]:
    """Return the edits of some picks, each once."""
    out: list[Edit] = []
    for pick in picks:
        out += (edit for edit in pick.option.edits if edit not in out)
    return out


def settled(edits: Sequence[Edit], before: Draft) -> list[Edit]:
    """Return edits without those that a later one takes back, and without that one where the user's files had nothing there."""
    out: list[Edit] = []
    for edit in edits:
        back = [one for one in out if one.object == edit.object and one.path[: len(edit.path)] == edit.path] if edit.op is Op.REMOVE else []
        if back and at(before.objects[edit.object].obj, edit.path) is None:
            out = [one for one in out if one not in back]
        else:
            out.append(edit)
    return out


def _about(one: Weakness, pick: Pick, scene: Scene) -> bool:
    """Tell whether a weakness is of what a pick changes."""
    changed = [*pick.subjects, *(edit.object for edit in pick.option.edits)]
    return any(name in changed for name in (one.object, *scene.subjects(one)))


def _asked(weak: Sequence[Weakness], picks: Sequence[Pick], scene: Scene) -> list[Weakness]:
    """Return the weaknesses of what is being changed."""
    return [one for one in weak if any(_about(one, pick, scene) or one.key == pick.weakness.key for pick in picks)]


def _gone(asked: Sequence[Weakness], seen: Sequence[Weakness], picks: Sequence[Pick], scene: Scene) -> list[Weakness]:
    """Return what was asked again and is gone with what was chosen."""
    shown = {one.key for one in seen}
    return [one for one in asked if one.key not in shown and any(_about(one, pick, scene) for pick in picks)]


def _cases(weak: Sequence[Weakness]) -> list[Case]:
    """Return the cases that show some weaknesses, each once."""
    out: list[Case] = []
    for one in weak:
        out += (case for case in one.cases if case not in out)
    return out


def _refusals(prepared: Prepared, base: Prepared, picks: Sequence[Pick]) -> list[Pick]:
    """Return the picks whose objects the API server does not take."""
    before = [_ident(one.obj) for one in base.booted.refused]
    now = [name for one in prepared.booted.refused if (name := _ident(one.obj)) not in before]
    return [
        pick for pick in picks if any(edit.object in now or (edit.op is Op.ADD and _ident(edit.value) in now) for edit in pick.option.edits)
    ]


def _ident(obj: Obj) -> str:
    meta = obj["metadata"]
    return f"{obj['kind']}/{meta.get('namespace', '')}/{meta.get('name', '')}"
