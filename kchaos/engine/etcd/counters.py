"""What has been done so far, for a display that looks at it while it happens."""

from __future__ import annotations

from collections import Counter, deque

from kchaos.history.operations import Operation, Outcome

BUCKET_S = 0.1


class Elections:
    """How many new terms the members told of, whoever won them: the one definition for display, result and report.

    A term higher than any seen before is one; terms that came and went between two readings (four a second) are not seen.
    """

    def __init__(self) -> None:
        self._highest: int | None = None
        self.seen = 0

    def see(self, term: int) -> None:
        """Take the term of one status, in the order in which they were recorded."""
        if self._highest is not None and term > self._highest:
            self.seen += 1
        self._highest = term if self._highest is None else max(self._highest, term)


class Counters:
    """Operations by outcome, kind and error, and how many ended within the last second."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.kinds: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        """By the error's text."""
        self._buckets: deque[tuple[int, int]] = deque()

    @property
    def operations(self) -> int:
        """Return how many have ended."""
        return self.outcomes.total()

    @property
    def unknown(self) -> int:
        """Return how many nobody can tell of whether they took effect."""
        return self.outcomes[Outcome.UNKNOWN]

    def add(self, operation: Operation) -> None:
        """Count one that has ended."""
        self.outcomes[operation.outcome] += 1
        self.kinds[operation.kind] += 1
        if operation.error:
            self.errors[operation.error] += 1
        bucket = int(operation.return_s / BUCKET_S)
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1] = (bucket, self._buckets[-1][1] + 1)
            return
        self._buckets.append((bucket, 1))
        while self._buckets[0][0] < bucket - 1 / BUCKET_S:
            self._buckets.popleft()

    def rate(self, now_s: float) -> int:
        """Return the operations that ended in the second before ``now_s``, to a tenth of a second."""
        last = int(now_s / BUCKET_S)
        return sum(count for bucket, count in self._buckets if last - 1 / BUCKET_S <= bucket < last)
