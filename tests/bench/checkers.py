"""What the checkers of etcd take of one core, in a process of their own, so that its memory is theirs: prints one JSON object.

What is judged is built first: the time of that does not count, its memory does. CPU time, since they run on one core and wait for nothing.
"""

from __future__ import annotations

import gc
import json
import sys
import time

from kchaos.engine.workers import seldom_collect
from kchaos.history.linearize import linearizable
from kchaos.properties.etcd import ETCD, judge
from tests.bench.memory import peak_mb
from tests.history.long_histories import long_history, long_run

TIMES = 2


def a_million() -> dict[str, float]:
    """Linearizability of a million operations, of which 1,100 writes have no answer and half of these took effect."""
    operations = long_history(1_000_000)
    took = []
    for _ in range(TIMES):
        begun = time.process_time()
        found = linearizable(operations)
        took.append(time.process_time() - begun)
        assert found.verdict == "ok", found
    return {"s": min(took), "rss_gb": peak_mb() / 1000}


def a_run() -> dict[str, float]:
    """All claims over a run of 100,000 operations with 30 faults, three watchers, and the members' histories."""
    run = long_run(100_000, faults=30)
    took = []
    for _ in range(TIMES):
        gc.collect()
        begun = time.process_time()
        found = judge(run)
        took.append(time.process_time() - begun)
        assert found.found == () and set(found.exercised) == set(ETCD), found
    return {"s": min(took), "rss_gb": peak_mb() / 1000}


if __name__ == "__main__":
    seldom_collect()  # as the command line does
    sys.stdout.write(json.dumps({"million": a_million, "run": a_run}[sys.argv[1]]()) + "\n")
