"""What a controller has asked for and not yet seen: until then its cache is too old to act on.

pkg/controller/controller_utils.go, ControllerExpectations; they expire after five minutes.
"""

from __future__ import annotations

from kchaos.runtime import Runtime

TIMEOUT_S = 300.0


class Expectations:
    """Creations and deletions under way, by the key of the owner."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._adds: dict[str, tuple[int, float]] = {}
        self._deletes: dict[str, tuple[dict[str, None], float]] = {}

    def expect_creations(self, key: str, count: int) -> None:
        """Expect ``count`` more objects to be seen."""
        left, _ = self._adds.get(key, (0, 0.0))
        self._adds[key] = (left + count, self._rt.now())

    def creation_seen(self, key: str) -> None:
        """Count one creation as seen, or as failed."""
        left, since = self._adds.get(key, (0, 0.0))
        if left:
            self._adds[key] = (left - 1, since)

    def expect_deletions(self, key: str, uids: list[str]) -> None:
        """Expect these objects to be seen terminating or gone."""
        waiting, _ = self._deletes.get(key, ({}, 0.0))
        self._deletes[key] = ({**waiting, **dict.fromkeys(uids)}, self._rt.now())

    def deletion_seen(self, key: str, uid: str) -> None:
        """Count one deletion as seen, or as failed."""
        found = self._deletes.get(key)
        if found is not None:
            found[0].pop(uid, None)

    def satisfied(self, key: str) -> bool:
        """Tell whether all was seen, or waited for too long."""
        now = self._rt.now()
        left, since = self._adds.get(key, (0, now))
        if left > 0 and now - since < TIMEOUT_S:
            return False
        waiting, asked = self._deletes.get(key, ({}, now))
        return not waiting or now - asked >= TIMEOUT_S

    def forget(self, key: str) -> None:
        """Drop what is expected for a deleted owner."""
        self._adds.pop(key, None)
        self._deletes.pop(key, None)
