"""``@chaos``: what a test asks of its manifests, as data on a mark. Nothing of kchaos is imported until a test asks for its answer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

MARK = "kchaos"
"""The mark's name: ``pytest -m kchaos`` selects the tests that have it."""
Words = str | PathLike[str] | Sequence[str | PathLike[str]]


class Asked(NamedTuple):
    """The arguments of one ``@chaos``, as they were written."""

    manifests: tuple[str, ...]
    context: tuple[str, ...] = ()
    faults: str | None = None
    examples: int | None = None
    seed: int = 0
    nodes: int | None = None
    zones: int | None = None
    topology: str = ""
    config: str = ""
    fail_on: str = "error"
    namespace: str = "default"
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    properties: tuple[Any, ...] = ()
    """Declarations of properties (``Declared``)."""
    wrong: str = ""
    """What can't be right about them whatever the files say, in words."""


def chaos(
    *manifests: str | PathLike[str],
    faults: str | Sequence[str] | None = None,
    examples: int | None = None,
    seed: int = 0,
    nodes: int | None = None,
    zones: int | None = None,
    topology: str | PathLike[str] = "",
    context: Words = (),
    config: str | PathLike[str] = "",
    fail_on: str = "error",
    namespace: str = "default",
    values: Words = (),
    sets: Words = (),
    properties: Sequence[Any] = (),
) -> pytest.MarkDecorator:
    """Run a campaign over manifests, and give the test its answer as ``run``. See docs/pytest.md.

    ``manifests``: paths, globs, folders, charts, kustomizations, from the test's file on (or from pytest's rootdir), or YAML text.
    ``faults``: names and groups of `kchaos faults`, as a list or with commas; None: all of level 1. ``examples``: how many at least;
    level 1 always runs whole, and with None some pairs and drawn scenarios after it. ``nodes`` and ``zones``, or a ``topology`` file:
    on which machines. ``context``: objects that exist and are not under test. ``config``: a kchaos.yaml; without it one beside the
    manifests or the test, or in rootdir. ``fail_on``: from which severity on a finding fails. ``values`` and ``sets``: for a chart. ``properties``: functions
    under ``@always``, ``@never`` and ``@eventually``, judged beside those of kchaos.yaml.
    """
    import pytest

    if any(callable(one) for one in manifests):
        raise TypeError('@chaos needs manifests: write @chaos("deploy/*.yaml")')
    asked = Asked(
        manifests=_words(manifests), context=_words(context), faults=faults if faults is None or isinstance(faults, str) else ",".join(faults),
        examples=examples, seed=seed, nodes=nodes, zones=zones, topology=fspath(topology), config=fspath(config), fail_on=fail_on,
        namespace=namespace, values=_words(values), sets=_words(sets), properties=tuple(getattr(one, "declared", None) for one in properties),
    )  # fmt: skip
    decorator: pytest.MarkDecorator = getattr(pytest.mark, MARK)(asked._replace(wrong=_wrong(asked)))
    return decorator


def _words(found: Words) -> tuple[str, ...]:
    return (fspath(found),) if isinstance(found, (str, PathLike)) else tuple(fspath(one) for one in found)


def _wrong(asked: Asked) -> str:
    if not asked.manifests:
        return 'no manifests: write @chaos("deploy/*.yaml"), or YAML text'
    if None in asked.properties:
        return 'one of properties is none: write @always(id="SHOP-1") above its function'
    return wrong_numbers(examples=asked.examples, nodes=asked.nodes, zones=asked.zones, seed=asked.seed, topology=asked.topology)


def wrong_numbers(*, nodes: object, zones: object, seed: object, topology: object, examples: object = None) -> str:
    """Return in words what is wrong with numbers as they were written in a test; empty if nothing is."""
    for name, value in (("examples", examples), ("nodes", nodes), ("zones", zones)):
        if value is not None and not _is_whole(value, 1):
            return f"{name} is {value!r}: write a number from 1 on"
    if not _is_whole(seed, 0):
        return f"seed is {seed!r}: write a number from 0 on"
    if topology and (nodes or zones):
        return "topology says which machines there are: leave out nodes and zones"
    return ""


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
