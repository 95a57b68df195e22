"""``@chaos``: what a test asks of its manifests, as data on a mark. Nothing of kchaos is imported until a test asks for its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from types import MappingProxyType
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
    wrong = wrong_types(
        texts={"fail_on": fail_on, "namespace": namespace}, paths={"topology": topology, "config": config},
        lists={"manifests": manifests, "context": context, "values": values, "sets": sets, "faults": () if faults is None else faults},
    )  # fmt: skip
    if not wrong and not _is_list(properties):
        wrong = f"properties is {properties!r}: write a list of functions under @always, @never or @eventually"
    mark: pytest.MarkDecorator = getattr(pytest.mark, MARK)
    if wrong:  # what was written may not even be comparable: nothing of it is kept
        return mark(Asked((), wrong=wrong))
    asked = Asked(
        manifests=_words(manifests), context=_words(context), faults=None if faults is None else ",".join(_words(faults)),
        examples=examples, seed=seed, nodes=nodes, zones=zones, topology=fspath(topology), config=fspath(config), fail_on=fail_on,
        namespace=namespace, values=_words(values), sets=_words(sets), properties=tuple(getattr(one, "declared", None) for one in properties),
    )  # fmt: skip
    if wrong := _wrong(asked):
        return mark(Asked((), wrong=wrong))
    return mark(asked)


def _words(found: Words) -> tuple[str, ...]:
    return (fspath(found),) if isinstance(found, (str, PathLike)) else tuple(fspath(one) for one in found)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def wrong_types(
    *, paths: Mapping[str, object], texts: Mapping[str, object] = MappingProxyType({}), lists: Mapping[str, object] = MappingProxyType({})
) -> str:
    """Return in words which argument is of another type than can be asked; empty if none is. A mark is made at import: nothing is raised."""
    for name, value in texts.items():
        if not isinstance(value, str):
            return f"{name} is {value!r}: write a text"
    for name, value in paths.items():
        if not isinstance(value, str | PathLike):
            return f"{name} is {value!r}: write a path"
    for name, value in lists.items():
        for one in value if isinstance(value, Sequence) and _is_list(value) else (value,):
            if not isinstance(one, str | PathLike):
                return f"one of {name} is {one!r}: write a text"
    return ""


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
