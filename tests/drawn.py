"""Drawn scenarios: faults at drawn times and events, with schedule noise. No pytest here: other Pythons run it too."""

from __future__ import annotations

import random

from kchaos.engine.sweep import FIXED
from kchaos.models.faults.catalog import catalog
from kchaos.scenario import At, Nth, Scenario, Step
from tests.support import SITUATIONS

STATEFUL = (SITUATIONS / "stuck-after-bad-template.healthy.yaml").read_text(encoding="utf-8")
WEB = (SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8")
TEXT = WEB + "---\n" + STATEFUL


def scenarios(count: int, seed: int) -> list[Scenario]:
    """Return drawn scenarios: one to three faults at drawn times or events, with schedule noise."""
    rng = random.Random(f"determinism/{seed}")
    names = [kind.name for kind in catalog()]
    targets = {
        **{sort: list(names) for sort, names in FIXED.items()},
        "master": ["master-0"],
        "client": ["node-1", "master-0", "user"],
        "node": [f"node-{i}" for i in range(1, 7)],
        "webhook": ["*"],
        "zone": ["zone-a", "zone-b", "zone-c"],
        "workload": ["Deployment/default/api", "StatefulSet/default/store"],
    }
    out = []
    for index in range(count):
        steps = []
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(names)
            when = (
                At(round(rng.uniform(0, 60), 3)) if rng.random() < 0.7 else Nth({"verb": "create", "resource": "pods"}, rng.randint(1, 4))
            )
            steps.append(Step(do=name, args={"target": rng.choice(targets[catalog().get(name).target])}, when=when))
        noise = {"type": "seeded", "seed": index, "p": 0.05} if rng.random() < 0.5 else {"type": "quiet"}
        out.append(Scenario(seed=rng.randrange(5), steps=tuple(steps), noise=noise))
    return out
