"""What a test gives to ``cluster``: refused in one sentence if it can't be meant."""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

from kchaos.errors import InvalidScenario

MOMENT_S = 0.001
"""The shortest time that can pass: session times are rounded to it."""


def json_tree(what: str, value: object) -> Any:
    """Return a value of Python as what JSON makes of it: tuples are lists, keys are text."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidScenario(
            f"{what} can't be written as JSON: {error}", hint="dicts, lists, texts, numbers, True, False and None can"
        ) from None


def check_name(what: str, name: object) -> None:
    """Refuse what is no text where something is named."""
    if not isinstance(name, str):
        raise InvalidScenario(f"{name!r} can't be {what}", hint="write a text, such as Deployment/default/web or node-power-loss")


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def in_words(seconds: object) -> str:
    """Return what was given as seconds, as people write it."""
    return f"{seconds} s" if isinstance(seconds, int | float) else repr(seconds)


def check_spans(**spans: float) -> None:
    """Refuse spans of virtual time in which no time passes: whoever waits in such steps waits for ever. The clock counts milliseconds."""
    for name, value in spans.items():
        if not is_number(value) or value < MOMENT_S:
            raise InvalidScenario(f"{name} is {value!r}", hint=f"write seconds, {MOMENT_S} or more")


def check_claim(method: str, claim: object) -> None:
    """Refuse what can't be asked again: a value in the place of a function."""
    if not callable(claim):
        raise InvalidScenario(
            f"cluster.{method}() asks a claim again and again, and {claim!r} is no function", hint="write lambda: before what shall hold"
        )
