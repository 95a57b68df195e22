"""Edits of text: read again the files hold what was meant, comments and order stay, and whatever else stands there is untouched."""

from __future__ import annotations

import difflib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kchaos.fix.edits import Edit, Op, at
from kchaos.fix.files import BOM, Draft, encoded, roots
from kchaos.fix.surgery import EditRefused
from kchaos.models.manifests.load import Manifest, Text, load
from tests.fix.written import Written, paths, written

NEW = st.sampled_from([7, "x", "yes", {"a": 1}, {"a": {"b": ["x", 1]}}, [1, 2], [{"n": 1, "m": "on"}], True, None])


def draft_of(text: str, objects: int | None = None) -> tuple[Draft, list[str]]:
    """Return a draft of a text whose objects need not be of a known kind."""
    found = roots(text)
    manifests = [Manifest(one.value, "a.yaml", one.node.start_mark.line + 1, one.node) for one in found]
    if objects is not None:
        assert len(found) == objects
    return Draft.of(manifests, [Text("a.yaml", text.encode())], ()), [one.id for one in manifests]


@st.composite
def edited(draw: Any) -> tuple[Written, Edit]:
    """Draw a text and an edit that makes sense in it."""
    one = draw(written())
    obj = draw(st.sampled_from(one.objects))
    ident = f"ConfigMap//{obj['metadata']['name']}"
    op = draw(st.sampled_from([Op.SET, Op.SET, Op.APPEND, Op.REMOVE, Op.RENAME, Op.ADD]))
    inside = [("spec", *path) for path in paths(obj["spec"])]
    if op is Op.ADD:
        return one, Edit(op, ident, (), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "b"}})
    if op is Op.APPEND:
        lists = [path for path in inside if isinstance(at(obj, path), list)]
        return one, Edit(op, ident, draw(st.sampled_from([*lists, ("spec", "fresh")])), draw(NEW))
    if op in (Op.REMOVE, Op.RENAME):
        fields = [path for path in inside if isinstance(path[-1], str)]
        return one, Edit(op, ident, draw(st.sampled_from(fields)), None, "renamed" if op is Op.RENAME else "")
    maps = [("spec",), *(path for path in inside if isinstance(at(obj, path), dict))]
    fresh = [(*path, "fresh") for path in maps] + [(*path, "fresh", "below") for path in maps]
    return one, Edit(op, ident, draw(st.sampled_from([*inside, *fresh])), draw(NEW))


@settings(max_examples=400, deadline=None)
@given(edited())
def test_an_edit_changes_what_it_means_and_nothing_else(case: tuple[Written, Edit]) -> None:
    """Or it is refused; then nothing is changed at all."""
    one, edit = case
    draft, _ = draft_of(one.text, len(one.objects))
    try:
        after = draft.with_edits([edit]).texts["a.yaml"]
    except EditRefused:
        return
    wanted = [edit.on(obj) if edit.object.endswith(obj["metadata"]["name"]) else obj for obj in one.objects]
    found = load([Text("a.yaml", after.encode())])
    assert [item.value for item in roots(after)] == wanted + ([edit.value] if edit.op is Op.ADD else [])
    assert found is not None
    assert ("\r\n" in after) == ("\r\n" in one.text) or "\n" not in one.text
    assert after.replace("\r\n", "").count("\n") == (0 if "\r\n" in one.text else after.count("\n"))
    if one.text.endswith("\n") or edit.op is Op.ADD:
        assert after.endswith("\n") == one.text.endswith("\n")
    kept = [comment for comment in one.comments if comment in after]
    assert sorted(kept, key=after.index) == kept, "comments keep their order"
    if edit.op is not Op.REMOVE and not isinstance(at(_object(one, edit), edit.path), dict | list):
        assert kept == one.comments
        before_rows, after_rows = one.text.split("\n"), after.split("\n")
        gone = [row for row in difflib.ndiff(before_rows, after_rows) if row.startswith("- ")]
        assert len(gone) <= 1 or "\n" in str(at(_object(one, edit), edit.path)), "one line changes, others only come"


def _object(one: Written, edit: Edit) -> dict[str, Any]:
    return next(obj for obj in one.objects if edit.object.endswith(obj["metadata"]["name"]))


@settings(max_examples=150, deadline=None)
@given(written(), st.data())
def test_fields_can_be_set_in_every_style(one: Written, data: st.DataObject) -> None:
    """Scalars are replaced and new fields inserted wherever people write mappings: nothing of that is refused."""
    obj = data.draw(st.sampled_from(one.objects))
    maps = [("spec",), *(("spec", *path) for path in paths(obj["spec"]) if isinstance(at(obj["spec"], path), dict))]
    draft, _ = draft_of(one.text)
    edit = Edit(Op.SET, f"ConfigMap//{obj['metadata']['name']}", (*data.draw(st.sampled_from(maps)), "fresh"), data.draw(NEW))
    assert draft.with_edits([edit]).edits == (edit,)


def cut(text: str, *edits: Edit) -> str:
    """Return a text with edits of its objects done."""
    return draft_of(text)[0].with_edits(edits).texts["a.yaml"]


WEB = "Deployment//web"


def of_web(spec: str) -> str:
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n{spec}"


def test_a_field_goes_where_people_write_it() -> None:
    """Replicas stand before the selector, constraints before the containers, the rest at the end."""
    text = of_web(
        "  # about it\n  selector: {a: b}\n  template:\n    spec:\n      serviceAccountName: x\n      # the main one\n      containers: []\n"
    )
    item = {"maxSkew": 1, "xx": {"yy": {"zz": "too long for one line: it needs lines of its own"}}}
    edits = [
        Edit(Op.SET, WEB, ("spec", "replicas"), 2),
        Edit(Op.APPEND, WEB, ("spec", "template", "spec", "topologySpreadConstraints"), item),
    ]
    after = cut(text, edits[1])
    assert "      serviceAccountName: x\n      topologySpreadConstraints:\n        - maxSkew: 1\n          xx:\n" in after
    assert 'needs lines of its own"}\n      # the main one\n      containers: []\n' in after
    assert "  selector: {a: b}\n  replicas: 2\n" in cut(text, edits[0])


def test_lists_are_continued_as_they_are_written() -> None:
    """Dashes below their key or indented, and one line in brackets."""
    item = {"name": "b"}
    flush = of_web("  list:\n  - name: a # first\n  other: 1\n")
    assert "  - name: a # first\n  - name: b\n  other: 1\n" in cut(flush, Edit(Op.APPEND, WEB, ("spec", "list"), item))
    short = of_web("  list: [{name: a}]\n")
    assert "list: [{name: a}, {name: b}]" in cut(short, Edit(Op.APPEND, WEB, ("spec", "list"), item))


def test_json_stays_json() -> None:
    """Keys and texts are quoted, and new fields stand on lines of their own as the others do."""
    text = '{\n  "apiVersion": "v1",\n  "kind": "Deployment",\n  "metadata": {"name": "web"},\n  "spec": {\n    "a": 1\n  }\n}\n'
    after = cut(text, Edit(Op.SET, WEB, ("spec", "b"), {"c": "d"}), Edit(Op.SET, WEB, ("spec", "a"), "x"))
    assert '  "spec": {\n    "a": "x",\n    "b": {"c": "d"}\n  }\n}\n' in after
    assert json.loads(after)["spec"] == {"a": "x", "b": {"c": "d"}}


def test_anchors_that_others_use_are_not_touched() -> None:
    """An edit that would change another object, or what an alias stands for, is refused in words."""
    text = of_web("  a: &x {b: 1}\n  c: *x\n")
    with pytest.raises(EditRefused, match="an anchor"):
        cut(text, Edit(Op.SET, WEB, ("spec", "a", "b"), 2))
    with pytest.raises(EditRefused, match="an anchor"):
        cut(text, Edit(Op.SET, WEB, ("spec", "c", "b"), 2))
    merged = of_web("  a: &x {b: 1}\n  c:\n    <<: *x\n    d: 1\n")
    assert "    d: 1\n    e: 2\n" in cut(merged, Edit(Op.SET, WEB, ("spec", "c", "e"), 2))
    assert "    b: 2\n" in cut(merged, Edit(Op.SET, WEB, ("spec", "c", "b"), 2))


def test_an_alias_can_be_written_out() -> None:
    """A scalar that is an alias gets a value of its own; the anchor stays."""
    text = of_web("  a: &n 1\n  b: *n # same\n")
    assert cut(text, Edit(Op.SET, WEB, ("spec", "b"), 2)).endswith("  a: &n 1\n  b: 2 # same\n")


def test_a_document_is_added_at_the_end() -> None:
    """With a separator, with the file's line ends, and without a last one where there was none."""
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}}
    for text in (of_web("  a: 1\n"), of_web("  a: 1"), of_web("  a: 1\n---\n"), of_web("  a: 1\n").replace("\n", "\r\n")):
        after = cut(text, Edit(Op.ADD, WEB, (), new))
        assert after.startswith(text.rstrip("\r\n"))
        assert [one.value for one in roots(after)][-1] == new
        assert after.endswith("\n") == text.endswith("\n")
    with pytest.raises(EditRefused, match="JSON"):
        cut('{"kind": "Deployment", "metadata": {"name": "web"}}', Edit(Op.ADD, WEB, (), new))


def test_documents_in_braces_are_no_json() -> None:
    """Several of them, or keys without quotes: another document may follow."""
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}}
    web = "{kind: Deployment, metadata: {name: web}}"
    for text in (f"{web}\n---\n{{kind: A, metadata: {{name: a}}}}\n", web):
        assert [one.value for one in roots(cut(text, Edit(Op.ADD, WEB, (), new)))] == [*(one.value for one in roots(text)), new]


@pytest.mark.parametrize("nothing", ["", " ~", " null", " # to do"])
def test_nothing_becomes_a_mapping(nothing: str) -> None:
    """However it is written."""
    after = cut(of_web(f"  strategy:{nothing}\n  b: 1\n"), Edit(Op.SET, WEB, ("spec", "strategy", "type"), "Recreate"))
    assert roots(after)[0].value["spec"] == {"strategy": {"type": "Recreate"}, "b": 1}


def test_other_encodings_are_refused() -> None:
    """They are read, but not written; and never taken for something rendered."""
    text = Text("a.yaml", (MAP.format(name="web")).encode("utf-16"))
    draft = Draft.of(load([text]).manifests, [text], ())
    for edit in (Edit(Op.SET, "ConfigMap/default/web", ("data", "a"), "x"), Edit(Op.ADD, "ConfigMap/default/web", (), {})):
        with pytest.raises(EditRefused, match=r"a\.yaml can't be edited: text that is not UTF-8"):
            draft.with_edits([edit])


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n"


def _twice(texts: list[Text]) -> list[str]:
    return [note.level for note in load(texts).notes if note.rule == "KC306"]


def test_copies_are_edited_alike() -> None:
    """In one file or in two; what only has the same name is not touched."""
    one, other = MAP.format(name="web"), MAP.format(name="db")
    texts = [
        Text("a.yaml", f"{one}---\n{other}---\n# again\n{one}".encode()),
        Text("b.yaml", one.encode()),
        Text("c.yaml", one.replace("a: b", "c: d").encode()),
        Text("d.yaml", one.encode()),
    ]
    edit = Edit(Op.SET, "ConfigMap/default/web", ("data", "a"), "x")
    after = Draft.of(load(texts).manifests, texts, ()).with_edits([edit])
    changed = one.replace("a: b", "a: x")
    assert after.texts["a.yaml"] == f"{changed}---\n{other}---\n# again\n{changed}"
    assert (after.texts["b.yaml"], after.texts["c.yaml"], after.texts["d.yaml"]) == (changed, one.replace("a: b", "c: d"), changed)
    assert _twice(after.written(texts)) == _twice(texts) == ["info", "info", "warning", "warning"]


def test_a_byte_order_mark_stays() -> None:
    """Notepad writes one, and kubectl takes it."""
    before = (BOM + of_web("  a: 1\n")).encode()
    draft = Draft.of([], [Text("a.yaml", before)], ())
    assert not draft.texts["a.yaml"].startswith(BOM)
    assert encoded(draft.texts["a.yaml"], before) == before


def test_items_of_lists_are_objects_too() -> None:
    """`kind: List` holds objects that are edited where they stand."""
    text = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: x}\n- kind: Deployment\n  metadata: {name: web}\n  spec: {a: 1}\n"
    assert cut(text, Edit(Op.SET, WEB, ("spec", "a"), 2)) == text.replace("{a: 1}", "{a: 2}")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit(Op.SET, "Deployment//other", ("spec",), 1), "not in the files"),
        (Edit(Op.REMOVE, WEB, ("spec", "nothing")), "no spec.nothing"),
        (Edit(Op.RENAME, WEB, ("spec", "a"), None, "b"), "there is a b already"),
        (Edit(Op.SET, WEB, ("spec", "a", "x"), 1), "no mapping"),
        (Edit(Op.SET, WEB, ("spec", "list", 4), 1), "no"),
    ],
)
def test_what_makes_no_sense_is_refused(edit: Edit, says: str) -> None:
    with pytest.raises(EditRefused, match=says):
        cut(of_web("  a: 1\n  b: 2\n  list: [1]\n"), edit)
