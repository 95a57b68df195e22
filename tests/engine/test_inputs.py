"""Paths to texts: files, folders, globs, standard input, charts and kustomizations; and what bad input says and exits with."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from kchaos.cli import run_cli
from kchaos.engine.inputs import HelmOptions, read_paths, split_sources
from kchaos.errors import InvalidScenario
from kchaos.models.manifests.load import load

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: nginx}]}\n"
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "values.yaml": "name: standard\n",
    "templates/pod.yaml": POD.replace("{name: a}", "\n  name: {{ .Values.name }}\n  namespace: {{ .Release.Namespace }}"),
    "templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name | quote }}}\n",
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with manifests, and things beside them; it is the current folder."""
    names = ("b.yaml", "a.yml", "sub/c.json", "sub/deep/D.YAML", "kchaos.yaml", ".hidden.yaml", ".git/x.yaml", "readme.txt")
    monkeypatch.chdir(tmp_path)
    return tree(tmp_path, {name: f"# {name}\n" for name in names})


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["."], ["a.yml", "b.yaml", "sub/c.json", "sub/deep/D.YAML"]),
        (["sub"], ["sub/c.json", "sub/deep/D.YAML"]),
        (["b.yaml", "sub"], ["b.yaml", "sub/c.json", "sub/deep/D.YAML"]),
        (["b.yaml", ".", "./b.yaml"], ["b.yaml", "a.yml", "sub/c.json", "sub/deep/D.YAML"]),  # each once, in the order given
        (["*.y*ml"], ["a.yml", "b.yaml", "kchaos.yaml"]),
        (["**/*.json"], ["sub/c.json"]),
        (["readme.txt"], ["readme.txt"]),
    ],
)
def test_paths(app: Path, paths: list[str], found: list[str]) -> None:
    """The files behind them, in a fixed order; hidden ones and kchaos.yaml stay out of folders."""
    assert [text.name for text in read_paths(paths)] == found


def test_a_file_with_brackets_in_its_name(app: Path) -> None:
    """A file that exists is no pattern."""
    tree(app, {"a[1].yaml": POD})
    assert [text.name for text in read_paths(["a[1].yaml"])] == ["a[1].yaml"]


def test_standard_input(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash, beside files."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode("utf-8")), encoding="utf-8"))
    texts = read_paths(["-", "b.yaml"])
    assert [text.name for text in texts] == ["-", "b.yaml"]
    assert texts[0].data.decode("utf-8") == POD


@pytest.mark.parametrize(
    ("path", "says", "hint"),
    [
        ("b.yml", "b.yml: no such file or folder", "did you mean b.yaml?"),
        ("nowhere/x.yaml", "nowhere/x.yaml: no such file or folder", "nowhere does not exist either"),
        ("*.toml", "*.toml: no file matches this pattern", ""),
        ("empty", "empty: no .yaml, .yml or .json file in this folder", ""),
    ],
)
def test_paths_that_lead_nowhere(app: Path, path: str, says: str, hint: str) -> None:
    """Which path, what is wrong, and what comes close."""
    (app / "empty").mkdir()
    with pytest.raises(InvalidScenario) as caught:
        read_paths([path])
    assert str(caught.value).startswith(says) and hint in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [(CHART, "helm is not installed"), ({"kustomization.yaml": "resources: []\n"}, "neither kubectl nor kustomize is installed")],
)
def test_a_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], says: str) -> None:
    """It is named, with another way to the same end."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InvalidScenario, match=says) as caught:
        read_paths([str(tree(tmp_path, files))])
    assert "render it elsewhere and give the output" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for helm")
def test_what_helm_is_asked_and_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All options reach it; its error is the message."""
    script = tmp_path / "bin" / "helm"
    tree(tmp_path, {"bin/helm": f'#!{shutil.which("sh")}\necho "Error: $*" >&2\nexit 1\n', "chart/Chart.yaml": CHART["Chart.yaml"]})
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    options = HelmOptions(("v.yaml",), ("a=b",), "shop", "mine", "1.33")
    with pytest.raises(InvalidScenario) as caught:
        read_paths([str(tmp_path / "chart")], options)
    wanted = f"template mine {tmp_path / 'chart'} --namespace shop --kube-version 1.33.0 --values v.yaml --set a=b"
    assert caught.value.message == f"helm template failed: Error: {wanted}"
    assert caught.value.hint == f"the command was: helm {wanted}"


def test_sources_are_locations() -> None:
    """`helm template` says which template each object is from; findings then name it."""
    rendered = f"---\n# Source: shop/templates/a.yaml\n{POD}---\n# Source: shop/charts/db/templates/b.yaml\n{POD}---\n# Source: shop/templates/a.yaml\n"
    rendered += POD.replace("{name: a}", "{name: b}")
    texts = list(split_sources(rendered.encode("utf-8"), Path("charts/shop")))
    assert [text.name for text in texts] == ["charts/shop/templates/a.yaml (rendered)", "charts/shop/charts/db/templates/b.yaml (rendered)"]
    found = load(texts[:1])
    assert [(one.id, one.file, one.line) for one in found.manifests] == [
        ("Pod/default/a", "charts/shop/templates/a.yaml (rendered)", 2),
        ("Pod/default/b", "charts/shop/templates/a.yaml (rendered)", 8),
    ]
    assert found.notes == ()


@pytest.mark.needs("helm")
def test_a_chart(tmp_path: Path) -> None:
    """Rendered by helm with values, sets, namespace and release name."""
    chart = tree(tmp_path / "shop", CHART)
    tree(tmp_path, {"v.yaml": "name: of-file\n"})
    found = load(read_paths([str(chart)], HelmOptions((str(tmp_path / "v.yaml"),), (), "prod", "mine")))
    assert sorted(one.id for one in found.manifests) == ["ConfigMap/default/mine", "Pod/prod/of-file"]
    assert {one.file for one in found.manifests} == {f"{chart.as_posix()}/templates/{name}.yaml (rendered)" for name in ("pod", "map")}
    found = load(read_paths([str(chart)], HelmOptions((), ("name=of-set",))))
    assert "Pod/default/of-set" in [one.id for one in found.manifests]
    tree(chart, {"templates/bad.yaml": "{{ .Values.no.such }}\n"})
    with pytest.raises(InvalidScenario, match="helm template failed"):
        read_paths([str(chart)])


@pytest.mark.needs("kubectl")
def test_a_kustomization(tmp_path: Path) -> None:
    """Rendered by kubectl; what it says about a mistake is the message."""
    folder = tree(tmp_path, {"kustomization.yaml": "namePrefix: x-\nresources: [pod.yaml]\n", "pod.yaml": POD})
    assert [one.id for one in load(read_paths([str(folder)])).manifests] == ["Pod/default/x-a"]
    tree(tmp_path, {"kustomization.yaml": "resources: [gone.yaml]\n"})
    with pytest.raises(InvalidScenario, match=r"kubectl kustomize failed: .*gone\.yaml"):
        read_paths([str(folder)])


BROKEN = {
    "syntax": "a: [\n",
    "template": "metadata: {{ .Values.x }}\n",
    "binary": "\x00\x01",
    "empty": "",
    "no kind": "apiVersion: v1\nmetadata: {name: a}\n",
    "removed": "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}\n",
    "unknown kind": "apiVersion: v1\nkind: Pood\nmetadata: {name: a}\n",
    "wrong type": POD.replace("{containers: ", "{hostNetwork: maybe, containers: "),
    "no quantity": POD.replace("nginx", "nginx, resources: {requests: {cpu: lots}}"),
    "bomb": "[" * 100_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_alone_exits_2(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing can be run: file (and line), what is wrong; no traceback."""
    monkeypatch.chdir(tree(tmp_path, {"app.yaml": BROKEN[name]}))
    assert run_cli(["run", "app.yaml"]) == 2
    printed = capfd.readouterr().err
    assert "app.yaml" in printed and "nothing to run" in printed and "Traceback" not in printed
    assert name in ("binary", "empty") or "app.yaml:" in printed


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_beside_good_is_a_finding(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The good objects are run, and an error is an error: exit code 1; an empty file is no mistake."""
    folder = tree(tmp_path / "app", {"bad.yaml": BROKEN[name], "good.yaml": POD})
    code = run_cli(["run", str(folder), "--faults", "none", "--out", str(tmp_path / "out")])
    printed = capfd.readouterr()
    assert code == (0 if name == "empty" else 1)
    assert "bad.yaml" in printed.out and "Traceback" not in printed.out + printed.err
