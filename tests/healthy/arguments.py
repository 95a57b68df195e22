"""Why each warning about a healthy application is one: by rule, and by what the finding says."""

from __future__ import annotations

import re
from typing import NamedTuple

from kchaos.check.verdict import Finding


class Argument(NamedTuple):
    """Warnings of a rule whose summary fits; what they are called; and why they are right though the application is healthy."""

    rule: str
    summary: str
    name: str
    why: str


ONE_POD = """
One replica is away while its node is drained or lost, until it is made anew: that is what one replica means, and many applications
accept it. It is said, with the seconds, and never an error."""
NO_PROBE = """
Where no readinessProbe says when the process answers, Kubernetes takes a pod for ready before it is: whoever starts slowly is away
meanwhile. It rests on the assumed start time (`start_s`); a probe mends it."""
IMAGE = """
An image that can't be pulled keeps pods away where an old one has to go first: a StatefulSet, strategy Recreate, or a maxUnavailable that
rounds to one. Whoever pulls by digest from a mirror of their own may accept it."""
TWO_DRAINS = """
Two drains at once take two members: people do drain two nodes at once, and a PodDisruptionBudget is what keeps them apart."""
SECOND_DRAIN = """
A second drain waits for ever while the first node is cordoned: the budget is kept, which is its purpose."""
DAEMONS = """
Pods of a DaemonSet are replaced in place, one node after the other; with a bad image each node is without until it is undone, and a rollout
whose maxUnavailable is large takes many at once. A smaller maxUnavailable slows that down, nothing prevents it."""
STUCK = """
A StatefulSet waits for a pod of the bad template that never gets ready; undoing does not help until somebody deletes that pod. Kubernetes
documents it as a known issue (StatefulSets, forced rollback); no field of the application changes it."""
ZONAL = """
A zonal disk can't follow its pod: a lost zone keeps it waiting until the zone is back. A regional disk costs more, and many accept it."""
SIGTERM = """
A process that ends at SIGTERM loses the requests of the second or so until its endpoint is taken out everywhere. It rests on the
assumption that SIGTERM is not handled; a preStop sleep mends it, and `drain_s` in kchaos.yaml says otherwise."""
FILES = """
A remark on the files, not on what happens: something that they name is not in them. It may well be in your cluster (`--context`)."""

ARGUMENTS = (
    Argument("KC202", "slow-start", "ready too early", NO_PROBE),
    Argument("KC202", "during image-pull-failure", "image", IMAGE),
    Argument("KC202", "during drain of .* and drain of", "two drains", TWO_DRAINS),
    Argument("KC202", "during (rollback|rollout|image-pull-failure) of DaemonSet", "daemons", DAEMONS),
    Argument("KC202", "its only pod was away", "one replica", ONE_POD),
    Argument("KC203", "drain", "a second drain", SECOND_DRAIN),
    Argument("KC204", "a bad template was undone", "stuck after a bad template", STUCK),
    Argument("KC201", "volume|zone", "zonal disk", ZONAL),
    Argument("KC205", "requests lost", "the race with SIGTERM", SIGTERM),
    Argument(r"KC3\d\d", "", "of the files", FILES),
)
"""The first that fits counts."""


def argument(finding: Finding) -> Argument | None:
    """Return why a warning is right; None: nobody has argued it yet."""
    found = (one for one in ARGUMENTS if re.fullmatch(one.rule, finding.id) and re.search(one.summary, finding.summary))
    return next(found, None)
