"""Two ends are compared by role, and it is said in which fields they differ."""

from __future__ import annotations

import pytest

from kchaos.canonical import encode
from kchaos.engine.endstate import different


def role(*shapes: object) -> list[str]:
    """Return the objects of a role as an end state has them."""
    return sorted(encode(one).decode() for one in shapes)


@pytest.mark.parametrize(
    ("wanted", "got", "says"),
    [
        (role({"replicas": 3, "status": {"ready": 3}}), role({"replicas": 3, "status": {"ready": 2}}), "status.ready 2 instead of 3"),
        (role({"phase": "Running"}), role(), "0 instead of 1"),
        (role({"ready": True}), role({"ready": True}, {"ready": True}), "2 instead of 1"),
        (role({"ready": True}, {"ready": True}), role({"ready": True}, {"ready": False}), "ready false instead of true"),
        (role("Bound"), role("Lost"), "Lost instead of Bound"),
        (role({"taints": None}), role({"taints": [{"key": "a"}]}), "taints[0].key a instead of none"),
        (role({"a": 1, "b": 1, "c": 1, "d": 1}), role({}), "a none instead of 1, b none instead of 1, c none instead of 1 and 1 more"),
    ],
)
def test_in_what_they_differ(wanted: list[str], got: list[str], says: str) -> None:
    """How many, or the fields of the first that is not the same."""
    assert different({"pods x": wanted}, {"pods x": got} if got else {}) == (f"pods x ({says})",)


def test_equal_ends() -> None:
    """In whatever order their objects are."""
    assert different({"pods x": role({"a": 1}, {"a": 2})}, {"pods x": role({"a": 2}, {"a": 1})}) == ()
