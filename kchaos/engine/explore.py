"""From a ClusterMachine to a failure that anybody can run again: saved ones first, then the search, then the smallest scenario.

Hypothesis shrinks the rules that it drew for a bounded number of tries; the scenario of the smallest failure is run by the engine, which
must show the same, and is shrunk further by kchaos' own shrinker. What is left is saved as a scenario and as a pytest file.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import hypothesis
import msgspec
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test

from kchaos.check.property import Property, Violation
from kchaos.engine.cases import call_of
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.machine import Broken, ClusterMachine, profile
from kchaos.engine.saved import Saved, mark_of, test_name_of, write
from kchaos.engine.scenarios import check_steps
from kchaos.engine.smaller import Systems, Wanted, shrink_scenario
from kchaos.engine.story import story
from kchaos.engine.subject import Subject, Unanswered, subject_of
from kchaos.errors import HarnessError, InvalidScenario, Location
from kchaos.scenario import Scenario, load

SUFFIX = ".scenario.json"


class Wish(NamedTuple):
    """What whoever runs a test asks for instead of what its class says; None: as the class says."""

    seed: int | None = None
    """Of what is drawn."""
    examples: int | None = None
    seconds: float | None = None
    """No further example is begun after so many seconds of real time."""
    corpus: Path | None = None
    replay: Path | None = None
    """Run only this saved failure."""


class Failed(AssertionError):
    """A ClusterMachine found something; the text tells all."""


class _Enough(BaseException):
    """The tries to make a failure smaller are spent. Not an Exception: Hypothesis would take it for another failure."""


class _Search:
    """What is known of the first failure's property: its smallest scenario so far."""

    def __init__(self, tries: int, seconds: float | None) -> None:
        self._left = tries
        self._until = None if seconds is None else time.monotonic() + seconds
        self.best: Broken | None = None
        self.spent = False
        self.examples = 0
        self.steps = 0

    def begin(self) -> None:
        """Begin one example more."""
        over = self._until is not None and self.examples > 0 and time.monotonic() >= self._until
        if self.best is None and not over:
            self.examples += 1
        elif over or self._left <= 0:
            self.spent = True
            raise _Enough
        else:
            self._left -= 1

    def take(self, broken: Broken) -> None:
        """Keep a failure if it is smaller."""
        if self.best is None:
            self.steps = len(broken.scenario.steps)
            self.best = broken
        elif broken.property.id == self.best.property.id and _size(broken.scenario) < _size(self.best.scenario):
            self.best = broken


def _size(scenario: Scenario) -> tuple[int, float]:
    return len(scenario.steps), scenario.budget.chaos_at_least_s


def search_with(make: Callable[[], ClusterMachine], settings: hypothesis.settings) -> None:
    """Let Hypothesis run machines. Half of the rules are run at least: it likes to try to stop after a few, which shows nothing."""
    least = settings.stateful_step_count // 2
    run_state_machine_as_test(make, settings=settings, _min_steps=least)  # type: ignore[arg-type]  # any factory will do


def explore(machine: type[ClusterMachine], settings: hypothesis.settings | None = None, wish: Wish | None = None) -> None:
    """Run a machine's saved failures again, then search. Raises Failed with the whole story; InvalidScenario for the author's mistakes."""
    __tracebackhide__ = True
    wish = wish or Wish()
    subject = subject_of(machine)
    corpus = wish.corpus if wish.corpus is not None and machine.corpus == ClusterMachine.corpus else Path(machine.corpus)
    folder = corpus / key_of(machine)
    _again(machine, subject, [wish.replay] if wish.replay is not None else sorted(folder.glob(f"*{SUFFIX}")))
    if wish.replay is not None:
        return
    search = _Search(machine.shrinks, wish.seconds)

    def make() -> ClusterMachine:
        search.begin()
        made = machine()
        made._on_broken = search.take
        return made

    seed = machine.seed if wish.seed is None else wish.seed
    if seed is not None:
        hypothesis.seed(seed)(make)
    ours = profile(machine, settings)
    try:
        search_with(make, ours if wish.examples is None else hypothesis.settings(ours, max_examples=wish.examples))
    except (Broken, _Enough):
        pass  # what was broken is kept in the search
    except FlakyStrategyDefinition:
        if not search.spent:
            raise  # else it is how Hypothesis takes that we left in the middle of an example
    if search.best is not None:
        raise Failed(_failure(machine, subject, search, search.best, folder)) from None


def key_of(machine: type) -> str:
    """Return what tells a class from all others, as the name of a folder: ``test_shop.Shop``."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{machine.__module__}.{machine.__qualname__}")


def _again(machine: type[ClusterMachine], subject: Subject, paths: Sequence[Path]) -> None:
    """Run the failures that were saved before, on the application and the machines as they are now."""
    __tracebackhide__ = True
    for path in paths:
        saved = load(path)
        scenario = msgspec.structs.replace(saved, topology=subject.scenario.topology, inputs=subject.scenario.inputs)
        try:
            check_steps(scenario.steps, subject.system)
            outcome = run(subject.system, subject.booted, scenario, look=subject.look(machine.__new__(machine), whole=False))
        except InvalidScenario as error:
            hint = "delete the file if the application has no such thing any more"
            raise InvalidScenario(error.message, location=Location(str(path)), hint=hint) from error
        except Unanswered as error:
            raise Failed(
                f"{error}\n\nthat is: not from the saved failure {path}; delete it, or let the claim look only at self.cluster"
            ) from None
        found = _worst(subject, outcome)
        if found is not None:
            same = path.name == _file_of(*found)
            text = [f"{subject.name} {'is still broken' if same else 'breaks another way than before'}: {_title(*found)}"]
            if saved.topology != subject.scenario.topology:
                text.append("on other machines than it was found on")
            text += _told(outcome, found[1])
            raise Failed("\n".join([*text, "", f"found before and saved: {path}", _command(subject, found[0], path)])) from None


def _worst(subject: Subject, outcome: Outcome) -> tuple[Property, Violation] | None:
    bad = [found for found in outcome.violations if subject.counts(*found)]
    return min(bad, key=lambda one: (one[1].severity.rank, one[1].t), default=None)


def _failure(machine: type[ClusterMachine], subject: Subject, search: _Search, best: Broken, folder: Path) -> str:
    """Confirm a failure, make it smaller, save it; return what to tell."""
    head = f"{subject.name} found after {search.examples} example{'s' if search.examples > 1 else ''}: "
    wanted = Wanted.of(best.property, best.violation)
    own = any(claim.property.id == best.property.id for claim in subject.claims)
    scenario = msgspec.structs.replace(best.scenario, name=f"{_who(subject.name)}: {_title(best.property, best.violation)}"[:300])
    look = subject.look(machine.__new__(machine))
    confirm = partial(run, subject.system, subject.booted, look=look)
    try:
        shown = wanted.best(confirm(scenario).violations) is not None
    except Exception as error:
        if not own:
            raise
        return _unsaid(head, best, f"it needs what the rules keep ({type(error).__name__}: {error})")
    if not shown and own:
        return _unsaid(head, best, "the same steps alone do not break it: it needs what the rules keep")
    if not shown:
        raise HarnessError(f"{_title(best.property, best.violation)}, but the scenario of that run does not show it: please report this")
    systems = Systems()
    systems.add(scenario, subject.system, subject.booted)
    smallest = shrink_scenario(scenario, wanted, systems, tries=machine.shrinks, whole=False, look=look).scenario
    outcome = confirm(smallest)
    prop, violation = next((p, v) for p, v in outcome.violations if wanted.best([(p, v)]) is not None)
    case, problems = _case(machine, subject, smallest, prop, violation, own)
    places, more = write(case, folder)
    problems += more
    lines = [head + _title(prop, violation), *_steps(smallest, search.steps), *_told(outcome, violation), ""]
    lines += [f"warning: {problem}" for problem in problems]
    lines += [f"saved: {place}" for place in places]
    return "\n".join([*lines, _command(subject, prop, *places)])


def _case(
    machine: type[ClusterMachine], subject: Subject, scenario: Scenario, prop: Property, violation: Violation, own: bool
) -> tuple[Saved, list[str]]:
    """Return what to write of a failure, and in words what can't be."""
    file = getattr(sys.modules.get(machine.__module__), "__file__", None)
    importable = file is not None and "." not in machine.__qualname__
    name = _file_of(prop, violation)
    manifests = [machine.manifests] if isinstance(machine.manifests, str) else machine.manifests
    written = () if any("\n" in one for one in manifests) else tuple(str(subject.folder / one) for one in manifests)
    case = Saved(
        who=_who(subject.name), scenario=scenario, prop=prop.name, claim=prop.claim, summary=violation.summary, scenario_file=name,
        test_file="" if own and not importable else test_name_of(key_of(machine), name.removesuffix(SUFFIX)),
        manifests=written, config=subject.folder / machine.config if machine.config else None, fail_on=subject.fail_on,
        judge=(Path(file), machine.__qualname__) if own and importable and file is not None else None,
    )  # fmt: skip
    said = f"no pytest file: class {machine.__qualname__} is not at the top of a file, so that file can't import it"
    return case, [said] if not case.test_file else []


def _file_of(prop: Property, violation: Violation) -> str:
    """Return the name of the scenario file of a problem, the same each time."""
    return f"{prop.name}-{mark_of(prop.id, violation.root or violation.object)}{SUFFIX}"


def _who(name: str) -> str:
    """Return the test that runs now, as pytest knows it, else the class's name."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0] or name


def _unsaid(head: str, best: Broken, why: str) -> str:
    """Return what to tell of a failure that no scenario can show."""
    title = head + _title(best.property, best.violation)
    note = f"not saved: {why}. A claim that looks only at self.cluster can be saved and replayed."
    return "\n".join([title, *_steps(best.scenario, len(best.scenario.steps)), "", note])


def _title(prop: Property, violation: Violation) -> str:
    name = f"{prop.id} {prop.name}" if prop.id.startswith("KC") else prop.id
    about = f"{violation.object}: " if violation.object != prop.id else ""
    return f"{name}: {about}{violation.summary}"


def _steps(scenario: Scenario, before: int) -> list[str]:
    count = len(scenario.steps)
    smaller = f" (of {before})" if before > count else ""
    return ["", f"after {count} step{'s' if count != 1 else ''}{smaller}:", *(f"  {call_of(step)}" for step in scenario.steps)]


def _told(outcome: Outcome, violation: Violation) -> list[str]:
    return ["", "how it came to that:", *(f"  {sentence}" for sentence in story(outcome.run, violation.object))]


def _command(subject: Subject, prop: Property, *places: Path) -> str:
    """Return the command that shows a failure again: a claim of one's own is known to pytest only."""
    own = any(claim.property.id == prop.id for claim in subject.claims)
    tests = [place for place in places if place.suffix == ".py"]
    tests += [one for place in places for one in place.parent.glob(f"test_*_{_words(place)}.py") if not tests]
    scenarios = [place for place in places if place.suffix == ".json"]
    if own and tests:
        return f"python -m pytest {tests[0]}"
    return f"kchaos replay {scenarios[0]}" if scenarios else ""


def _words(scenario: Path) -> str:
    return re.sub(r"\W+", "_", scenario.name.removesuffix(SUFFIX))
