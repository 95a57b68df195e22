"""Arguments of faults: one declaration that checks, completes and bounds what is drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kchaos.errors import InvalidScenario
from kchaos.models.faults.catalog import catalog
from kchaos.nemesis.arguments import Argument, complete

LOSS = Argument("loss", 0.33, high=1.0)
BY = Argument("by", 1, low=1, whole=True, usual=(1, 3))
PHASE = Argument("phase", "before", choices=("before", "after"))
CODE = Argument("code", 500, choices=(409, 500))
MASTERS = Argument("masters", "minority()", target="master")
SKEW = Argument("by_s", 120.0, low=-math.inf)


def test_what_is_left_out_has_its_default() -> None:
    assert complete("x", (LOSS, PHASE), {"target": "a", "loss": 0.5}) == {"loss": 0.5, "phase": "before", "target": "a"}


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        (LOSS, 7, "args.loss must be a number from 0 to 1"),
        (LOSS, math.nan, "args.loss must be a number from 0 to 1"),
        (LOSS, True, "args.loss must be a number from 0 to 1"),
        (BY, 0.5, "args.by must be a whole number, 1 or more"),
        (SKEW, "x", "args.by_s must be a number"),
        (PHASE, "during", "args.phase must be before or after"),
        (CODE, 418, "args.code must be 409 or 500"),
        (CODE, 409.0, "args.code must be 409 or 500"),
        (MASTERS, "", "args.masters must be the name of a master"),
    ],
)
def test_what_does_not_fit_is_refused(argument: Argument, value: Any, says: str) -> None:
    with pytest.raises(InvalidScenario, match=says):
        complete("x", (argument,), {argument.name: value})


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(InvalidScenario, match=r"args.los is not known to x") as caught:
        complete("x", (LOSS,), {"los": 1})
    assert caught.value.hint == "did you mean loss?"


def test_every_fault_can_be_drawn() -> None:
    """Defaults are allowed, and the bounds for drawing are finite and allowed."""
    for kind in catalog():
        for one in kind.arguments:
            assert one.has(one.default), (kind.name, one.name)
            if not one.choices and not one.target:
                assert all(one.has(int(bound) if one.whole else bound) for bound in one.drawn), (kind.name, one.name)
