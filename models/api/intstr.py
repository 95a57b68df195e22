"""IntOrString: a number, or a percentage of a total (k8s.io/apimachinery/pkg/util/intstr)."""

from __future__ import annotations


def scaled(value: int | str, total: int, round_up: bool) -> int:
    """Return ``value`` as a number: ``25%`` of ``total``, rounded as asked. Raises ValueError for other text."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: {value!r} is neither a number nor a percentage")
    percent = int(value[:-1]) * total
    return -(-percent // 100) if round_up else percent // 100
