"""`python -m tests.healthy`: ask of every healthy application with every seed, and write docs/healthy.md; fails if there is an error.

With names, only those, and nothing is written. ``--jobs 2`` uses two processes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from tests.healthy.apps import APPS, MANIFESTS, SEEDS, App, answer
from tests.healthy.arguments import ARGUMENTS, argument
from tests.support import ROOT

PAGE = ROOT / "docs" / "healthy.md"


class Asked(NamedTuple):
    """What came of one application and seed: verdict, examples, errors in words, warnings by the name of their argument."""

    app: str
    seed: int
    verdict: str
    examples: int
    errors: tuple[str, ...]
    warnings: dict[str, int]
    unargued: tuple[str, ...]


def ask(app: App, seed: int) -> Asked:
    """Ask once."""
    result = answer(app, seed).result
    open_ = [one for one in result.findings if not one.accepted]
    warnings = [one for one in open_ if one.severity is Severity.WARNING]
    argued = [(one, argument(one)) for one in warnings]
    return Asked(
        app.name, seed, result.verdict, result.examples.run, tuple(_words(one) for one in open_ if one.severity is Severity.ERROR),
        dict(Counter(why.name for _, why in argued if why is not None)), tuple(_words(one) for one, why in argued if why is None),
    )  # fmt: skip


def _words(one: Finding) -> str:
    return f"{one.id} {one.object}: {one.summary}"


def page(found: dict[tuple[str, int], Asked]) -> str:
    """Return docs/healthy.md."""
    lines = [
        "# Healthy applications\n",
        f"{len(APPS)} real applications, each with seeds {', '.join(map(str, SEEDS))}: level 1, 40 pairs and 20 drawn scenarios each, no finding of level *error*. "
        "Written by `python -m tests.healthy`; `tests/healthy/apps.py` says which files, `make soak` asks again.\n",
        "| application | verdicts | examples | warnings (with each seed) | mended before |", "| --- | --- | ---: | --- | --- |",
    ]  # fmt: skip
    for app in APPS:
        row = [found[app.name, seed] for seed in SEEDS]
        names = dict.fromkeys(name for one in row for name in one.warnings)
        told = "; ".join(f"{name} ({', '.join(str(one.warnings.get(name, 0)) for one in row)})" for name in names) or "none"
        verdicts = ", ".join(one.verdict for one in row)
        lines.append(f"| {app.name} | {verdicts} | {sum(one.examples for one in row)} | {told} | {app.why} |")
    lines.append("\n## Why these warnings are right\n")
    for one in ARGUMENTS:
        count = sum(asked.warnings.get(one.name, 0) for asked in found.values())
        if count:
            lines.append(f"- **{one.name}** ({one.rule.replace(chr(92) + 'd', 'x')}, {count} in all): {' '.join(one.why.split())}")
    return "\n".join(lines) + "\n"


def _known(results: Path | None) -> dict[tuple[str, int], Asked]:
    if results is None or not results.exists():
        return {}
    rows = [Asked(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines()]
    return {(one.app, one.seed): one for one in rows if not one.errors and not one.unargued}


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, help="JSON Lines of what was asked already; the rest is added")
    options = parser.parse_args()
    if not MANIFESTS.is_dir():
        sys.exit(f"there are no manifests at {MANIFESTS}")
    apps = [app for app in APPS if not options.names or app.name in options.names]
    found = _known(options.results)
    with ProcessPoolExecutor(options.jobs) as pool:
        asked = [pool.submit(ask, app, seed) for seed in SEEDS for app in apps if (app.name, seed) not in found]
        for future in as_completed(asked):
            one = future.result()
            found[one.app, one.seed] = one
            if options.results is not None:
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one._asdict()) + "\n")
            told = [*one.errors, *(f"not argued: {text}" for text in one.unargued)]
            head = f"{one.app} seed {one.seed}: {one.verdict}, {one.examples} examples, warnings {one.warnings}"
            sys.stdout.write("\n    ".join([head, *told]) + "\n")
            sys.stdout.flush()
    bad = any(one.errors or one.unargued for one in found.values())
    if not bad and not options.names:
        PAGE.write_text(page(found), encoding="utf-8")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
