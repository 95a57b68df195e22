"""IPv4 addresses and networks as integers: what every table is matched by, so it is kept small and fast.

IPv6 appears in rendered rules only (as text); packets that are walked are IPv4.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

LOOPBACK = 127 << 24
LOOPBACK_MASK = 0xFF000000


class Net(NamedTuple):
    """A network; ``text`` is how it was written."""

    text: str
    value: int
    mask: int

    def has(self, address: int) -> bool:
        """Tell whether an address lies in it."""
        return address & self.mask == self.value


@lru_cache(maxsize=4096)
def number(text: str) -> int:
    """Return the number of a dotted address. Raises ValueError."""
    parts = text.split(".")
    if len(parts) != 4:
        raise ValueError(f"not an IPv4 address: {text!r}")
    out = 0
    for part in parts:
        value = int(part)
        if not 0 <= value <= 255:
            raise ValueError(f"not an IPv4 address: {text!r}")
        out = out << 8 | value
    return out


@lru_cache(maxsize=4096)
def text_of(address: int) -> str:
    """Return the dotted form."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


@lru_cache(maxsize=4096)
def net(text: str) -> Net:
    """Return the network of ``10.244.0.0/16``; a bare address is a network of one."""
    if ":" in text:
        return Net(text, -1, 0)
    address, _, length = text.partition("/")
    mask = (0xFFFFFFFF << (32 - int(length or 32))) & 0xFFFFFFFF
    return Net(text, number(address) & mask, mask)


def is_loopback(address: int) -> bool:
    """Tell whether an address is 127.0.0.0/8."""
    return address & LOOPBACK_MASK == LOOPBACK
