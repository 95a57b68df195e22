"""Kubernetes quantities, exact: ``500m``, ``0.5Gi``, ``1e3``, plain numbers.

Rules: k8s.io/apimachinery/pkg/api/resource/quantity.go. Amounts are integers in thousandths (milli); finer digits round up.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_SUFFIX = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}  # fmt: skip
_FORM = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?")

Quantity = str | int | float


@lru_cache(maxsize=65536)
def exact(quantity: Quantity) -> Fraction:
    """Return the exact amount. Raises ValueError in the real server's words."""
    found = _FORM.fullmatch(str(quantity))
    if found is None or isinstance(quantity, bool):
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, exponent, suffix = found.groups()
    amount = Fraction(digits)
    if exponent:
        amount *= Fraction(10) ** int(exponent[1:])
    amount *= _SUFFIX[suffix or ""]
    return -amount if sign == "-" else amount


@lru_cache(maxsize=65536)
def milli(quantity: Quantity) -> int:
    """Return the amount in thousandths, rounded up (Quantity.MilliValue)."""
    amount = exact(quantity) * 1000
    return -((-amount.numerator) // amount.denominator)


@lru_cache(maxsize=65536)
def value(quantity: Quantity) -> int:
    """Return the amount in whole units, rounded up (Quantity.Value)."""
    amount = exact(quantity)
    return -((-amount.numerator) // amount.denominator)


def canonical(amount_milli: int, binary: bool = False) -> str:
    """Return the canonical form of an amount in thousandths: the largest suffix that leaves a whole number."""
    if amount_milli % 1000:
        return f"{amount_milli}m"
    whole = amount_milli // 1000
    if whole == 0:
        return "0"
    base, suffixes = (1024, ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")) if binary else (1000, ("k", "M", "G", "T", "P", "E"))
    suffix = ""
    for candidate in suffixes:
        if whole % base:
            break
        whole //= base
        suffix = candidate
    return f"{whole}{suffix}"


def is_binary(quantity: Quantity) -> bool:
    """Tell whether a quantity is written with a binary suffix (and is kept so when printed)."""
    return str(quantity).endswith("i")


@lru_cache(maxsize=65536)
def canonical_text(quantity: Quantity) -> str:
    """Return the form in which the API server stores a quantity: ``0.5Gi`` is ``512Mi``, ``1000m`` is ``1``, ``0.1`` is ``100m``."""
    text = str(quantity)
    amount = exact(quantity)
    if is_binary(text) and amount.denominator == 1:
        return canonical(int(amount) * 1000, binary=True)
    found = _FORM.fullmatch(text)
    if found is not None and found.group(3):
        whole = milli(quantity)
        power = -3
        while whole and whole % 1000 == 0:
            whole, power = whole // 1000, power + 3
        return f"{whole}e{power}" if power else str(whole)
    scaled, suffixes = amount, ("", "m", "u", "n")
    for suffix in suffixes:
        if scaled.denominator == 1:
            return canonical(int(scaled) * 1000) if suffix == "" else f"{int(scaled)}{suffix}"
        scaled *= 1000
    nano = amount * 10**9
    return f"{-((-nano.numerator) // nano.denominator)}n"


def add(one: Quantity, other: Quantity) -> str:
    """Return the sum in canonical form, in the first one's notation (binary if that is written so)."""
    total = exact(one) + exact(other)
    thousandths = total * 1000
    whole = -((-thousandths.numerator) // thousandths.denominator)
    binary = is_binary(one) or (exact(one) == 0 and is_binary(other))
    return canonical(whole, binary and whole % 1000 == 0)


def compare(one: Quantity, other: Quantity) -> int:
    """Return -1, 0 or 1."""
    a, b = exact(one), exact(other)
    return (a > b) - (a < b)
