"""`make mutants`: hunt all named mutants, judge the mechanical ones, and write docs/mutants.md. Exit code 1 if a named one survives.

The same tables come out on every machine: examples and steps are counted, not seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tests.mutants.hunt import Killed, hunt, planted
from tests.mutants.mechanical import Verdict, judge
from tests.mutants.mutant import Mutant
from tests.mutants.registry import MODULES
from tests.mutants.targets import EQUIVALENT, TARGETS
from tests.races.planted import RACES
from tests.support import ROOT

PAGE = ROOT / "docs" / "mutants.md"
HEAD = """# Mutants

Do the checks bite? Each mutant takes one safeguard of the models away, from outside (`tests/mutants/`), and must be noticed. Made by `make mutants`.

## Named

A mutant is killed when a campaign over a small application yields an error or a warning of the property that was chosen beforehand, and the same
campaign without the mutant yields none. *Example*: in which of them. *Steps*: after shrinking; 0 where no fault is needed.
"""
RACING = """## Races

Eleven more show only when a fault fires at the right event (`tests/races/`): found by `--sweep triggers`, shrunk to at most eight steps, and not
found by the plain sweep.
"""
MECHANICAL = """## Mechanical

One operator, constant, jump or return of a pure function is changed; the unit tests of its module must fail (`tests/mutants/targets.py`).
"""


def main() -> int:
    """Write the page."""
    survived: list[str] = []
    parts = [HEAD]
    for module in MODULES:
        title = (module.__doc__ or "").partition("\n")[0]
        found = [(mutant, _hunted(mutant)) for mutant in module.MUTANTS]
        survived += [mutant.name for mutant, killed in found if killed is None]
        parts.append(f"### {title.rstrip('.')}\n\n" + "\n".join(_named(found)) + "\n")
    verdicts = [verdict for target in TARGETS for verdict in judge(target)]
    parts += [RACING + "\n" + "\n".join(_races()) + "\n", MECHANICAL + "\n" + "\n".join(_mechanical(verdicts)) + "\n"]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    count = sum(len(module.MUTANTS) for module in MODULES)
    killed_ = sum(verdict.killed for verdict in verdicts)
    sys.stdout.write(
        f"named: {count - len(survived)} of {count} killed; mechanical: {killed_} of {len(verdicts)}; {PAGE.name} is written\n"
    )
    return int(bool(survived))


def _hunted(mutant: Mutant) -> Killed | None:
    sys.stdout.write(f"{mutant.name}\n")
    with planted(mutant):
        return hunt(mutant)


def _named(found: Sequence[tuple[Mutant, Killed | None]]) -> Iterator[str]:
    yield "| mutant | what it breaks | property | application | example | steps |"
    yield "|---|---|---|---|---:|---:|"
    for mutant, killed in found:
        told = f"{killed.example} | {killed.steps}" if killed is not None else "**survived** | "
        yield f"| {mutant.name} | {mutant.promise} | {mutant.caught_by} | {mutant.application.name} | {told} |"


def _races() -> Iterator[str]:
    yield "| race | property | fault |"
    yield "|---|---|---|"
    yield from (f"| {race.name} | {race.caught_by} | {', '.join(race.faults)} |" for race in RACES)


def _mechanical(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| module | mutants | killed | equivalent |"
    yield "|---|---:|---:|---:|"
    left = [(one, EQUIVALENT.get((one.module, one.function, one.words), "")) for one in verdicts if not one.killed]
    for target in TARGETS:
        mine = [one for one in verdicts if one.module == target.module]
        same = sum(bool(why) for one, why in left if one.module == target.module)
        yield f"| {target.module} | {len(mine)} | {sum(one.killed for one in mine)} | {same} |"
    yield f"| in all | {len(verdicts)} | {len(verdicts) - len(left)} | {sum(bool(why) for _, why in left)} |"
    yield ""
    yield "Survivors, and why some of them change nothing that can be seen:"
    yield ""
    for one, why in left:
        yield f"- `{one.module}.{one.function}`: `{one.words}`" + (f": {why}" if why else "")


if __name__ == "__main__":
    sys.exit(main())
