"""One canonical byte form of JSON values, and digests over it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(order="deterministic")


def encode(value: Any) -> bytes:
    """Return ``value`` as JSON bytes with sorted keys and no white space; equal values give equal bytes."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """Return the first 32 hex digits of the SHA-256 of ``value``'s canonical form."""
    return hashlib.sha256(encode(value)).hexdigest()[:32]


class RunningDigest:
    """SHA-256 over a sequence of values, one after the other."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, encoded: bytes) -> None:
        """Add one value that :func:`encode` has already turned into bytes."""
        self._hash.update(encoded)
        self._hash.update(b"\n")

    def hexdigest(self) -> str:
        """Return 32 hex digits over all that was added so far."""
        return self._hash.hexdigest()[:32]
