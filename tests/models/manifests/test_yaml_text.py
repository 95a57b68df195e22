"""Texts that are not quite YAML: each mistake has its line, what is wrong and what to write instead; what can be read is read."""

from __future__ import annotations

import pytest

from kchaos.models.manifests.load import Loaded, Text, load

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: c
    image: nginx
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 10))


def read(data: str | bytes, name: str = "app.yaml") -> Loaded:
    """Read one file."""
    return load([Text(name, data if isinstance(data, bytes) else data.encode("utf-8"))])


@pytest.mark.parametrize(
    ("text", "line", "rule", "says", "hint"),
    [
        (POD.replace("  containers", "\tcontainers"), 5, "KC301", "a tab in the indentation", "spaces"),
        (POD.replace("- name", "-\tname"), 6, "KC301", "a tab", "spaces"),
        (POD.replace("    image", "   image"), 7, "KC301", "the indentation does not fit", "align"),
        (POD.replace("nginx", "nginx: 1: 2"), 7, "KC301", "a `:` where none may stand (at `image:`)", "quotes"),
        (POD.replace("nginx", "%x"), 7, "KC301", "can't begin", "quotes"),
        (POD.replace("nginx", "@x"), 7, "KC301", "can't begin", "quotes"),
        (POD.replace("nginx", "`x`"), 7, "KC301", "can't begin", "quotes"),
        (POD.replace("nginx", "*x"), 7, "KC301", "alias", "quotes"),
        (POD.replace("nginx", '"nginx'), 7, "KC301", "a quote that is never closed", "quotes"),
        (POD.replace("{name: web}", "{name: web"), 3, "KC301", "a { that is not closed", "}"),
        (POD + "  hostAliases: [1, 2\n", 8, "KC301", "a [ that is not closed", "]"),
        ('{"apiVersion": "v1",\n"kind": "Pod",\n', 1, "KC301", "a { that is not closed", "}"),
        (POD.replace("nginx", "a\x07b"), 7, "KC301", "a control character", "escape"),
        ("? {a: b}\n: 1\n", 1, "KC301", "as a key", "quotes"),
        (POD.replace("{name: web}", "{<<: 3}"), 3, "KC301", "`<<` takes a mapping", "<<: *name"),
        ("a: &a [*a]\n", 1, "KC301", "an alias that contains itself", "write the value out"),
        ("{{- if .Values.on }}\n" + POD + "{{- end }}\n", 1, "KC308", "an unrendered template: {{- if .Values.on }}", "helm template"),
        (POD.replace("{name: web}", "\n  name: {{ .Values.name }}"), 4, "KC308", "{{ .Values.name }}", "helm template"),
        (POD.replace("{name: web}", "{name: {{ .x }}}"), 3, "KC308", "{{ .x }}", "helm template"),
        (POD.replace("spec:", "{{- with .Values.spec }}\nspec:"), 4, "KC308", "{{- with .Values.spec }}", "helm template"),
        ("%YAML 3.0\n---\n" + POD, 1, "KC301", "not YAML", "line"),
    ],
)
def test_mistakes(text: str, line: int, rule: str, says: str, hint: str) -> None:
    """One note: the rule, file, line, words and advice."""
    found = read(text)
    assert found.manifests == ()
    assert [(note.rule, note.level, note.file, note.line) for note in found.notes] == [(rule, "error", "app.yaml", line)]
    assert says in found.notes[0].message
    assert hint in found.notes[0].hint


def test_what_stands_before_a_mistake_is_read() -> None:
    """And the note says that the rest is not."""
    found = read(POD + "---\nfoo: [\n---\n" + MAP % "never")
    assert [one.id for one in found.manifests] == ["Pod/default/web"]
    assert found.notes[0].line == 9
    assert "Only what stands before it was read" in found.notes[0].message


@pytest.mark.parametrize(
    "text", [LAUGHS, MERGES, "[" * 100_000, "{a: " * 3000 + "}" * 3000, "- " * 3000 + "x", "a: " + "[" * 300 + "]" * 300]
)
def test_bombs_are_refused(text: str) -> None:
    """Aliases that multiply, and nesting without end, are refused before memory or the stack run out; another file is still read."""
    found = load([Text("bomb.yaml", text.encode("utf-8")), Text("app.yaml", POD.encode("utf-8"))])
    assert [one.id for one in found.manifests] == ["Pod/default/web"]
    assert [(note.rule, note.level, note.file) for note in found.notes] == [("KC301", "error", "bomb.yaml")]
    assert found.notes[0].line >= 1 and found.notes[0].hint


def test_deep_but_real_texts_are_read() -> None:
    """Many brackets are no depth."""
    text = MAP % "a" + 'data:\n  log: "' + "[0m" * 5000 + '"\n'
    assert [one.id for one in read(text).manifests] == ["ConfigMap/default/a"]
    assert read("a: " + "[" * 200 + "]" * 200).notes[0].level == "info"


def test_a_key_that_stands_twice() -> None:
    """It is told with both lines, and the last one counts."""
    found = read(POD.replace("    image: nginx", "    image: nginx\n    image: redis"))
    assert [(note.rule, note.level, note.line) for note in found.notes] == [("KC307", "warning", 8)]
    assert "'image' stands twice, and the values differ; the last one counts" in found.notes[0].message
    assert "the first is in line 7" in found.notes[0].hint
    assert found.manifests[0].obj["spec"]["containers"][0]["image"] == "redis"


@pytest.mark.parametrize(
    ("data", "level", "says"),
    [
        (b"", "info", "the file is empty"),
        (b"  \n\n", "info", "the file is empty"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "error", "a binary file"),
        (b"\x89PNG\r\n\x1a\n\xff\xd8", "error", "not UTF-8"),
        (b"a: b\nc: \xe4\n", "error", "not UTF-8"),
        (b"hello world\n", "info", "plain text"),
        (b"- a\n- b\n", "info", "a list"),
        (b"replicaCount: 3\n", "info", "not a Kubernetes object"),
        (b"services:\n  web: {image: x}\n", "info", "Docker Compose"),
        (b"resources:\n- a.yaml\n", "info", "a kustomization"),
        (b"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", "info", "a kustomization"),
        (b"apiVersion: v2\nname: shop\nversion: 0.1.0\n", "info", "Chart.yaml"),
    ],
)
def test_files_without_objects(data: bytes, level: str, says: str) -> None:
    """They are named, and no error if they are none of ours."""
    found = read(data)
    assert found.manifests == ()
    assert [(note.level, note.file) for note in found.notes] == [(level, "app.yaml")]
    assert says in found.notes[0].message


def test_the_line_of_a_bad_byte() -> None:
    """Not UTF-8: in which line."""
    assert read(b"a: b\nc: d\ne: \xe4\n").notes[0].line == 3


@pytest.mark.parametrize("text", ["---\n# nothing here\n---\n# nor here\n", "---\n---\n", "# only words\n", "null\n"])
def test_documents_without_content(text: str) -> None:
    """Nothing to say."""
    assert read(text) == Loaded((), ())


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + POD.encode("utf-8"),
        POD.encode("utf-16"),
        POD.replace("\n", "\r\n").encode("utf-8"),
        ("---\n# a comment\n---\n" + POD + "---\n").encode("utf-8"),
        (POD + "...\n").encode("utf-8"),
        ("%YAML 1.1\n---\n" + POD).encode("utf-8"),
        ("--- # first\n" + POD).encode("utf-8"),
    ],
)
def test_forms_of_one_text(data: bytes) -> None:
    """A byte order mark, UTF-16, CRLF, empty documents, an end mark, a directive: the same object, and no note."""
    found = read(data)
    assert [one.id for one in found.manifests] == ["Pod/default/web"]
    assert found.manifests[0].obj["spec"]["containers"] == [{"name": "c", "image": "nginx"}]
    assert found.notes == ()


@pytest.mark.parametrize("between", ["\n", "\n\n", "", " "])
def test_json_objects_in_a_row(between: str) -> None:
    """Like `kubectl get -o json` for one object after the other."""
    text = between.join('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "' + name + '"}}' for name in "abc")
    found = read(text, "all.json")
    assert [one.id for one in found.manifests] == ["ConfigMap/default/a", "ConfigMap/default/b", "ConfigMap/default/c"]
    assert found.notes == ()


def test_many_documents_keep_their_lines() -> None:
    """The line of the object and of each of its fields."""
    text = "".join(f"---\n# {n}\n{MAP % f'm{n}'}data:\n  key: value\n" for n in range(50))
    found = read(text).manifests
    assert [one.line for one in found] == [3 + 7 * n for n in range(50)]
    assert [one.at("data.key") for one in found] == [7 + 7 * n for n in range(50)]
    assert found[0].at("data.no.such") == 6  # the nearest parent
