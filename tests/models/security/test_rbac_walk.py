"""Ten thousand random steps: the security layer and the oracle agree on each."""

from __future__ import annotations

from tests.rbac_machine import Walk


def test_ten_thousand_steps() -> None:
    """No escalation, no read without a grant, nothing left after revocation: every answer equals the oracle's."""
    counts: dict[str, int] = {}
    for seed in range(5):
        walk = Walk(seed)
        walk.run(2000)
        for what, count in walk.counts.items():
            counts[what] = counts.get(what, 0) + count
    for what in ("create roles", "create rolebindings", "create clusterrolebindings", "update roles", "delete rolebindings",
                 "get configmaps", "list secrets", "impersonated list"):  # fmt: skip
        assert counts[f"{what} allowed"] and counts[f"{what} refused"], counts
