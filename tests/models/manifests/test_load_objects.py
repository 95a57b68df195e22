"""Documents to objects: what is no object, what the API server does not serve, unknown fields, wrong types, duplicates, hooks, lists."""

from __future__ import annotations

import pytest

from kchaos.models.manifests.load import Loaded, Text, load

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: nginx
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: nginx}]}\n"


def read(text: str) -> Loaded:
    """Read one file."""
    return load([Text("app.yaml", text.encode("utf-8"))])


def swapped(old: str, new: str) -> str:
    """Return the Deployment with a part replaced."""
    assert old in DEPLOYMENT
    return DEPLOYMENT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "rule", "says", "hint"),
    [
        (swapped("kind: Deployment\n", ""), 1, "KC302", "kind is missing", "kind: Deployment"),
        (swapped("apiVersion: apps/v1\n", ""), 1, "KC302", "apiVersion is missing", "apiVersion: apps/v1"),
        ("metadata: {name: a}\nspec: {}\n", 1, "KC302", "apiVersion and kind are missing", "kind: Deployment"),
        (swapped("kind: Deployment", "kind: 5"), 2, "KC302", "kind must be text", "kind: Deployment"),
        (swapped("apps/v1", "1"), 1, "KC302", "apiVersion must be text", "apiVersion: apps/v1"),
        (swapped("metadata: {name: web}\n", ""), 1, "KC302", "Deployment without metadata", "metadata:"),
        (swapped("{name: web}", "hello"), 3, "KC302", "metadata of a Deployment must be a mapping", "metadata:"),
        (swapped("{name: web}", "{labels: {a: b}}"), 3, "KC302", "Deployment without a name", "metadata.name"),
        ("apiVersion: example.org/v1\nkind: Thing\nmetadata: [a]\n", 3, "KC302", "metadata of a Thing must be a mapping", "metadata:"),
        ("apiVersion: example.org/v1\nkind: Thing\n", 1, "KC302", "Thing without metadata", "metadata:"),
        (swapped("kind: Deployment", "kind: Deploymnet"), 2, "KC303", "apps/v1 has no kind Deploymnet", "did you mean Deployment?"),
        (swapped("apps/v1", "v1"), 1, "KC303", "v1 has no kind Deployment", "apiVersion: apps/v1"),
        (swapped("replicas: 2", 'replicas: "2"'), 5, "KC305", "spec.replicas must be a whole number", "without quotes: 2"),
        (swapped("replicas: 2", "replicas: yes"), 5, "KC305", "not a boolean", ""),
        (swapped("{labels: {app: web}}", "{labels: {app: 5}}"), 8, "KC305", "app must be a string", 'put it in quotes: "5"'),
        (swapped("{labels: {app: web}}", "{labels: {app: on}}"), 8, "KC305", "app must be a string", 'put it in quotes: "true"'),
        (swapped("      - name: c\n        image: nginx", "        name: c\n        image: nginx"), 10, "KC305", "must be a list", "- "),
        (swapped("spec:\n  replicas", "spec: 5\nother:\n  replicas"), 4, "KC305", "spec must be a mapping", ""),
        (swapped("{name: web}", "{name: 5}"), 3, "KC305", "metadata.name must be a string", "quotes"),
        (swapped("replicas: 2", 'replicas: "{{ .Values.n }}"'), 5, "KC305", "spec.replicas", "render the template first"),
        (swapped("replicas: 2", "replicas: ${N}"), 5, "KC305", "spec.replicas", "render the template first"),
        (swapped("image: nginx", "image: nginx\n        resources: {limits: {cpu: lots}}"), 13, "KC305", "limits.cpu is 'lots'", "500m"),
        (
            swapped("image: nginx", "image: nginx\n        resources: {limits: {cpu: 1 core}}"),
            13,
            "KC305",
            "is '1 core', which is no",
            "128Mi",
        ),
        ("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec:\n  hard: {pods: ten}\n", 5, "KC305", "spec.hard.pods", "500m"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: plain!\n", 5, "KC305", "data.a is not base64", "stringData"),
        ("apiVersion: v1\nkind: List\nitems: 5\n", 3, "KC302", "items of a List must be a list", "- "),
    ],
)
def test_refused(text: str, line: int, rule: str, says: str, hint: str) -> None:
    """One error with line, words and advice; the good object beside it is read."""
    found = read(text + "---\n" + POD)
    assert [one.id for one in found.manifests] == ["Pod/default/a"]
    notes = [note for note in found.notes if note.level == "error"]
    assert [(note.rule, note.file, note.line) for note in notes] == [(rule, "app.yaml", line)]
    assert says in notes[0].message
    assert hint in notes[0].hint


@pytest.mark.parametrize(
    ("version", "kind", "since", "instead"),
    [
        ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
        ("apps/v1beta1", "StatefulSet", "1.16", "apps/v1"),
        ("apps/v1beta2", "DaemonSet", "1.16", "apps/v1"),
        ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
        ("networking.k8s.io/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
        ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
        ("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26", "autoscaling/v2"),
        ("rbac.authorization.k8s.io/v1beta1", "Role", "1.22", "rbac.authorization.k8s.io/v1"),
        ("policy/v1beta1", "PodSecurityPolicy", "1.25", "Pod Security Admission"),
    ],
)
def test_removed_apis(version: str, kind: str, since: str, instead: str) -> None:
    """The message says since when and what replaces it; the good object beside it goes on."""
    found = read(f"# old\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: old}}\n---\n{POD}")
    assert [one.id for one in found.manifests] == ["Pod/default/a"]
    (note,) = found.notes
    assert (note.rule, note.level, note.line) == ("KC303", "error", 2)
    assert f"{kind} old uses {version}" in note.message and f"Kubernetes {since} removed" in note.message
    assert instead in note.hint


def test_unknown_fields() -> None:
    """kubectl refuses them; kchaos says so with the line and the nearest name, and goes on without."""
    found = read(
        swapped("replicas: 2", "replcas: 2").replace("        image: nginx", "        image: nginx\n        prot: 80\n        x: 1")
    )
    assert [(note.rule, note.level, note.line) for note in found.notes] == [("KC304", "warning", n) for n in (5, 13, 14)]
    assert "did you mean replicas?" in found.notes[0].hint and "remove it" in found.notes[2].hint
    obj = found.manifests[0].obj
    assert "replcas" not in obj["spec"]
    assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "nginx"}]


def test_nulls_in_lists() -> None:
    """They are empty things, as the API server reads them, and told by its validation."""
    found = read(POD.replace("[{name: c, image: nginx}]", "[null]"))
    assert [one.obj["spec"] for one in found.manifests] == [{"containers": [{}]}]


def test_declared_twice() -> None:
    """The later one counts, and the note says where both stand."""
    other = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    found = load([Text("a.yaml", DEPLOYMENT.encode("utf-8")), Text("b.yaml", b"# moved\n" + other.encode("utf-8"))])
    assert [(one.file, one.line, one.obj["spec"]["replicas"]) for one in found.manifests] == [("b.yaml", 2, 3)]
    (note,) = found.notes
    assert (note.rule, note.level, note.file, note.line, note.object) == ("KC306", "warning", "b.yaml", 2, "Deployment/default/web")
    assert "with different content: this one is used, not a.yaml:1" in note.message
    same = read(DEPLOYMENT + "---\n" + DEPLOYMENT).notes
    assert [(note.rule, note.level) for note in same] == [("KC306", "info")]
    assert read(DEPLOYMENT + "---\n" + DEPLOYMENT.replace("{name: web}", "{name: web, namespace: shop}")).notes == ()


@pytest.mark.parametrize(
    ("kind", "items", "ids"),
    [
        ("List", [POD], ["Pod/default/a"]),
        ("List", [POD, DEPLOYMENT], ["Pod/default/a", "Deployment/default/web"]),
        ("PodList", ["metadata: {name: x}\nspec: {containers: [{name: c, image: i}]}\n"], ["Pod/default/x"]),
    ],
)
def test_lists(kind: str, items: list[str], ids: list[str]) -> None:
    """Each item is an object with its own line; items of a PodList need no kind."""
    rows = "".join("- " + item.rstrip("\n").replace("\n", "\n  ") + "\n" for item in items)
    found = read(f"apiVersion: v1\nkind: {kind}\nitems:\n{rows}")
    assert [one.id for one in found.manifests] == ids
    assert [one.line for one in found.manifests] == [4, 8][: len(ids)]
    assert found.manifests[-1].at("spec") > found.manifests[-1].line
    assert found.notes == ()


def test_odd_lists() -> None:
    """No items: told; an item that is no object: an error at its line, the others are read."""
    assert [(n.level, n.line) for n in read("apiVersion: v1\nkind: List\nitems: []\n").notes] == [("info", 3)]
    assert [(n.level, n.line) for n in read("apiVersion: v1\nkind: List\n").notes] == [("info", 1)]
    rows = "- " + POD.rstrip("\n").replace("\n", "\n  ")
    found = read(f"apiVersion: v1\nkind: List\nitems:\n- 5\n{rows}\n- metadata: {{name: b}}\n")
    assert [one.id for one in found.manifests] == ["Pod/default/a"]
    assert [(n.rule, n.level, n.line) for n in found.notes] == [("KC302", "error", 4), ("KC302", "error", 9)]


@pytest.mark.parametrize(
    ("hook", "kept"),
    [("pre-install", True), ("post-install,post-upgrade", True), ("crd-install", True), ("", True), ("test", False), ("pre-delete", False)],
)
def test_helm_hooks(hook: str, kept: bool) -> None:
    """What `helm install` does not run is left out, and told."""
    found = read(swapped("{name: web}", f"{{name: web, annotations: {{helm.sh/hook: {hook}}}}}"))
    assert [one.id for one in found.manifests] == (["Deployment/default/web"] if kept else [])
    assert [(note.rule, note.level) for note in found.notes] == ([] if kept else [("KC313", "info")])


def test_hooks_come_in_their_order() -> None:
    """Before the install, the rest, after it."""
    texts = [
        POD.replace("{name: a}", f"{{name: {n}, annotations: {{helm.sh/hook: {h}}}}}")
        for n, h in (("last", "post-install"), ("first", "pre-install"))
    ]
    found = read("---\n".join([texts[0], POD, texts[1]]))
    assert [one.obj["metadata"]["name"] for one in found.manifests] == ["first", "a", "last"]


@pytest.mark.parametrize(
    ("image", "shown"), [('"{{ .Values.image }}"', "{{ .Values.image }}"), ("nginx:${TAG}", "${TAG}"), ("<IMAGE>", "<IMAGE>")]
)
def test_unrendered_images(image: str, shown: str) -> None:
    """The API server takes them; no node can pull them."""
    (note,) = read(swapped("nginx", image)).notes
    assert (note.rule, note.level, note.line) == ("KC308", "error", 12)
    assert shown in note.message and "render" in note.hint


def test_namespaces() -> None:
    """Objects without one get the one of the run; cluster-wide objects lose theirs."""
    node = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns, namespace: wrong}\n"
    found = load([Text("app.yaml", (POD + "---\n" + node).encode("utf-8"))], namespace="shop")
    assert [one.id for one in found.manifests] == ["Pod/shop/a", "Namespace//ns"]


def test_custom_resources() -> None:
    """Those that make no pods are told as info; the others are handed on."""
    text = "apiVersion: %s\nkind: %s\nmetadata: {name: a}\n"
    found = read(text % ("monitoring.coreos.com/v1", "ServiceMonitor") + "---\n" + text % ("example.org/v1", "Database"))
    assert [one.obj["kind"] for one in found.custom] == ["ServiceMonitor", "Database"]
    assert [(note.rule, note.level, note.line) for note in found.notes] == [("KC311", "info", 1)]


def test_notes_have_no_control_characters() -> None:
    """A name can't steer the terminal."""
    found = read('apiVersion: apps/v1\nkind: "Depl\\e[31moyment"\nmetadata: {name: "a\\e]0;x\\a"}\n')
    assert found.notes and not any(ord(char) < 32 for note in found.notes for char in note.message + note.hint)
