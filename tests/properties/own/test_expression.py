"""Expressions: what they read is found, what makes no sense is told before anything runs, and a missing value is never true or false."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kchaos.check.property import Context
from kchaos.errors import InvalidScenario
from kchaos.history.view import View
from kchaos.properties.own.expression import Watch, _environment, compiled
from kchaos.properties.own.state import MAPS, ROWS, State, Undecided
from tests.properties.objects import pod

TWO = 'pods.filter(p, p.labels.app == "web" && p.ready).size() >= 2'


def state(*pods: object) -> State:
    """Return the state of a cluster with these pods."""
    view = View({"pods": {f"shop/{one['metadata']['name']}": one for one in pods}})  # type: ignore[index]  # objects of the API
    return State(Context(view))


@pytest.mark.parametrize(
    ("source", "tables"),
    [
        ('workloads["shop/web"].ready >= 2', {"workloads": (("ready",), ("shop/web",))}),
        ("workloads['shop/web'].ready >= 2", {"workloads": (("ready",), ("shop/web",))}),
        (TWO, {"pods": (("ready", "labels"), None)}),
        ("pods.all(p, has(p.labels.app))", {"pods": (("labels",), None)}),
        ('pods.exists(p, p["node"] == "x")', {"pods": (("node",), None)}),
        ("pods.size() > 1", {"pods": ((), None)}),
        ("pods[0] == pods[1]", {"pods": (("name", "namespace", "workload", "node", "phase", "ready", "terminating", "restarts", "labels"), None)}),
        ("workloads.all(k, workloads[k].ready > 0)", {"workloads": (("ready",), None)}),
        ('"shop/web" in workloads', {"workloads": ((), None)}),
        ("pods.filter(p, p.ready).all(q, q.restarts < 3)", {"pods": (("ready", "restarts"), None)}),
        ("pods.exists(p, nodes.exists(n, n.name == p.node && !n.ready))", {"pods": (("node",), None), "nodes": (("name", "ready"), None)}),
        ("nodes.filter(n, n.ready).map(n, n.zone).exists(z, z == \"a\")", {"nodes": (("zone", "ready"), None)}),
        ('phase == "chaos"', {}),
    ],
)  # fmt: skip
def test_reads(source: str, tables: dict[str, object]) -> None:
    """Tables, fields and keys: nothing else makes it look again."""
    assert {name: (one.fields, one.keys) for name, one in compiled(source).reads.tables.items()} == tables


@pytest.mark.parametrize(
    ("source", "says", "hint"),
    [
        ("", "the expression is empty", "quotes"),
        ("pods.all(p, p.redy)", "at character 14: pod has no field redy", "did you mean ready?"),
        ('pods.filter(p, p.ready)[0].nod == "x"', "pod has no field nod", "did you mean node?"),
        ('endpoints["a/b"].redy == 1', "endpoints has no field redy", "did you mean ready?"),
        ('workload("shop/web").ready >= 2', "no variable or function is called workload", 'did you mean workloads["namespace/name"]?'),
        ("pods.exist(p, p.ready)", "no variable or function is called exist", "did you mean exists?"),
        ("now_s > 3", "is called now_s", "known: pods, workloads"),
        ("pods.ready", "a list has no fields", "pods.exists(p, p.ready)"),
        ("pods.all(p, p.labels.app.tier == \"a\")", "text has no field tier", "take it out"),
        ('workloads["a/b"].ready', "gives a number, not true or false", ">= 2"),
        ("pods.size()", "gives a number, not true or false", ">= 2"),
        ("pods.filter(p, p.ready)", "gives a list, not true or false", ">= 2"),
        ("pods[0].name", "gives text, not true or false", ">= 2"),
        ('pods.exists(p, p.ready == "true")', "compares true or false with text", "without quotes"),
        ('pods.exists(p, p.restarts > "3")', "compares a number with text", "one type"),
        ("phase > 3", "> can't be applied to (string, int)", "one type"),
        ('phase = "chaos"', "not a CEL expression", "write == to compare"),
        ("pods.size() > 1 and true", "not a CEL expression", "write && for and"),
        ("True", "True is not CEL", "write true"),
        ("len(pods) > 1", "len is not CEL", "write size"),
        ("pods.any(p, p.ready)", "any is not CEL", "write exists"),
        ("pods.exists(p => p.ready)", "not a CEL expression", "pods.exists(p, p.ready)"),
        ("{[1]: true}", "the expression can't be used: Unsupported map key type", "less at once"),
        ("pods.size() >", "not a CEL expression", ""),
        ("(" * 60 + "true" + ")" * 60, "can't be used", "more than one property"),
    ],
)  # fmt: skip
def test_mistakes(source: str, says: str, hint: str) -> None:
    """What is wrong, where, and what to write instead."""
    with pytest.raises(InvalidScenario) as caught:
        compiled(source)
    assert says in caught.value.message and hint in caught.value.hint and caught.value.hint


ATOMS = st.sampled_from(
    [
        "pods",
        "workloads",
        "nodes",
        "phase",
        "p",
        "q",
        "1",
        "2.5",
        "'x'",
        "true",
        "null",
        "[]",
        "{'a': 1}",
        "pods[0]",
        "workloads['a/b']",
        "duration('1s')",
    ]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    fields, operators = st.sampled_from(["ready", "labels", "name", "foo"]), st.sampled_from(["==", "<", "+", "&&", "||", "in"])
    return st.one_of(
        st.builds("{}.{}".format, inner, fields), st.builds("{}[{}]".format, inner, inner), st.builds("!{}".format, inner),
        st.builds("{} {} {}".format, inner, operators, inner), st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}.size()".format, inner), st.builds("[{}]".format, inner), st.builds("has({}.ready)".format, inner),
        st.builds("{}.{}(p, {})".format, inner, st.sampled_from(["exists", "all", "filter", "map"]), inner),
        st.builds("pods.{}({}, {})".format, st.sampled_from(["exists", "all"]), st.sampled_from("pq"), inner),
    )  # fmt: skip


@given(st.recursive(ATOMS, _larger, max_leaves=6))
@settings(max_examples=300, deadline=None)
def test_what_it_reads_is_enough(source: str) -> None:
    """Whatever is written, it is refused with a hint; or what it is given, cut down to what it reads, decides as all fields would."""
    try:
        found = compiled(source)
    except InvalidScenario as error:
        assert error.hint
        return
    seen = state(pod("web-0", ready=True, labels={"app": "web"}), pod("web-1", ready=False))
    watch = Watch(found, seen)
    value = watch.value()
    whole = {name: seen.tables[name].shown(tuple(one.__struct_fields__), None) for name, one in ROWS.items() if name in found.reads.tables}
    data = {**watch.data(), **{name: one.rows if name in MAPS else one.sorted() for name, one in whole.items()}}
    other = found.program.eval(_environment().Activation(data)).value()
    assert value == other if isinstance(other, bool) else isinstance(value, Undecided)


def test_values() -> None:
    """It follows the pods; what it is made of is told in words."""
    seen = state(pod("web-0", ready=True, labels={"app": "web"}), pod("web-1", ready=False, labels={"app": "web"}))
    watch = Watch(compiled(TWO), seen)
    assert watch.value() is False
    assert watch.told() == TWO.partition(" >= ")[0] + " was 1"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('pods.all(p, p.labels.app == "web")', "there is no app"),
        ('workloads["shop/db"].ready > 0', "there is no shop/db"),
        ("pods[7].ready", "there is no element 7 of 1"),
        ("pods.size() / (pods.size() - 1) > 0", "divide by zero"),
        ('pods[0].labels["x"] == "y" || pods[0].restarts > 0', "there is no x"),
    ],
)
def test_no_value(source: str, why: str) -> None:
    """An error of evaluation is neither true nor false, and says why."""
    value = Watch(compiled(source), state(pod("web-0", ready=True))).value()
    assert isinstance(value, Undecided) and why in value.why


def test_errors_are_absorbed_as_the_language_says() -> None:
    """The other side of || and && may decide alone."""
    seen = state(pod("web-0", ready=True))
    assert Watch(compiled('pods.all(p, p.labels.app == "web") || true'), seen).value() is True
    assert Watch(compiled('pods.all(p, !has(p.labels.app) || p.labels.app == "web")'), seen).value() is True


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes an expression is told what to install."""
    from kchaos.properties.own import expression

    expression.compiled.cache_clear()
    expression._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(InvalidScenario) as caught:
        compiled("pods.size() == 3")
    assert "not installed" in caught.value.message and "pip install 'kchaos[cel]'" in caught.value.hint
