"""State machines under the plugin: the session's options as their wishes, what they came to for the session's report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kchaos.engine.campaign import BudgetOption
from kchaos.engine.explore import Failed, Wish
from kchaos.testing.options import Options


def wish(options: Options) -> Wish:
    """Return what a machine is asked for."""
    budget = BudgetOption.of(options.budget)
    corpus = Path(os.path.relpath(options.corpus)) if options.corpus.is_relative_to(Path.cwd()) else options.corpus
    return Wish(options.seed, budget.examples, budget.seconds, corpus, options.replay)


def plain(nodeid: str, error: BaseException | None) -> dict[str, Any]:
    """Return what the session's report needs, as plain values: a verdict, a sentence, the whole text of a failure."""
    if error is None:
        return {"name": nodeid, "verdict": "pass", "words": "state machine: nothing was found", "text": ""}
    words = str(error).strip().partition("\n")[0]
    verdict = "fail" if isinstance(error, Failed) else "unknown"
    return {"name": nodeid, "verdict": verdict, "words": f"state machine: {words or type(error).__name__}", "text": str(error)}
