"""When a cron schedule fires next. Pure.

github.com/robfig/cron/v3 (parser.go: ParseStandard, spec.go: SpecSchedule.Next, constantdelay.go), as the CronJob controller uses it: five
fields or a descriptor, in a time zone. A local time that a clock change skips does not fire, one that it repeats fires twice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_MONTHS = {name: i + 1 for i, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _DAYS))
_NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "ns": 0.000000001}
_YEARS_S = 5 * 366 * 86400


class Schedule(NamedTuple):
    """The sets of each field, and whether days of month and of week are both restricted; or a constant delay."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    every_s: float
    zone: str


@lru_cache(maxsize=1024)
def parse(text: str, zone: str = "") -> Schedule:
    """Return the schedule of ``*/5 * * * *``, ``@daily``, ``@every 90s``. Raises ValueError."""
    text = text.strip()
    if text.startswith("@every "):
        return Schedule(*(frozenset[int](),) * 5, False, max(1.0, float(int(_duration(text[7:])))), zone)
    parts = _NAMED.get(text, text).split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: {parts}")
    sets = [_field(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True)]
    starred = any(one.startswith(("*", "?")) for field in (parts[2], parts[4]) for one in field.split(","))
    return Schedule(sets[0], sets[1], sets[2], sets[3], sets[4], not starred, 0.0, zone)


def _duration(text: str) -> float:
    found = re.findall(r"([0-9]*\.?[0-9]+)(ns|us|ms|h|m|s)", text.strip())
    if not found or "".join(number + unit for number, unit in found) != text.strip():
        raise ValueError(f"failed to parse duration {text}")
    return float(sum(float(number) * _UNITS[unit] for number, unit in found))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    out: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = low, high
        else:
            begin = _number(first, names)
            end = _number(last, names) if dash else (high if slash else begin)
        width = int(step) if slash else 1
        if not low <= begin <= end <= high or width < 1:
            raise ValueError(f"failed to parse field {text}")
        out.update(range(begin, end + 1, width))
    return frozenset(out)


def _number(text: str, names: dict[str, int]) -> int:
    return names[text.lower()] if text.lower() in names else int(text)


def _day_fits(schedule: Schedule, local: datetime) -> bool:
    of_month = local.day in schedule.days
    of_week = local.isoweekday() % 7 in schedule.weekdays
    return (of_month or of_week) if schedule.either_day else (of_month and of_week)


@lru_cache(maxsize=4096)
def next_s(schedule: Schedule, after_s: float) -> float | None:
    """Return the first time after ``after_s`` at which the schedule fires; None if not within five years."""
    if schedule.every_s:
        return float(int(after_s)) + schedule.every_s
    zone: tzinfo = ZoneInfo(schedule.zone) if schedule.zone else UTC
    at = (int(after_s) // 60 + 1) * 60
    limit = at + _YEARS_S
    while at < limit:
        local = datetime.fromtimestamp(at, zone)
        to_hour = 3600 - local.minute * 60
        if local.month not in schedule.months or not _day_fits(schedule, local):
            at += to_hour + max(0, 20 - local.hour) * 3600  # not to midnight at once: the clock may change before it
        elif local.hour not in schedule.hours:
            at += to_hour
        elif local.minute not in schedule.minutes:
            at += 60
        else:
            return float(at)
    return None
