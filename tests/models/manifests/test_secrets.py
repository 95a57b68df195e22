"""The value of a secret is nowhere: not in objects, runs, scenarios, results, reports, output or messages about mistakes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kchaos.cli import run_cli
from kchaos.models.manifests.load import Text, load
from kchaos.models.manifests.redact import LAST_APPLIED, redact

MARK = "MARKER-31415926"
CODED = base64.b64encode(MARK.encode("ascii")).decode("ascii")
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata:
  name: key
  annotations:
    {LAST_APPLIED}: '{{"stringData": {{"b": "{MARK}"}}}}'
data: {{a: {CODED}}}
stringData: {{b: {MARK}}}
"""
WORKLOAD = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      initContainers:
      - {{name: i, image: nginx, env: [{{name: KEY, value: {MARK}}}]}}
      containers:
      - name: c
        image: nginx
        env:
        - {{name: KEY, value: {MARK}}}
        - {{name: REF, valueFrom: {{secretKeyRef: {{name: key, key: a}}}}}}
        envFrom: [{{secretRef: {{name: key}}}}]
"""


def clean(text: str) -> bool:
    """Tell whether neither form of the value is in a text."""
    return MARK not in text and CODED not in text and MARK.partition("-")[2] not in text


def test_nothing_that_a_run_leaves_holds_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every file of the output folder and both streams, printed and as JSON; replay and explain too."""
    app, out = tmp_path / "app.yaml", tmp_path / "out"
    app.write_text(SECRET + "---\n" + WORKLOAD, encoding="utf-8")
    common = ["run", str(app), "--faults", "pod-kill,drain", "--budget", "6", "--out", str(out)]
    assert run_cli([*common, "-o", "html,junit,json"]) in (0, 1)
    assert run_cli([*common, "--json"]) in (0, 1)
    (scenario, *_) = sorted(out.glob("*.scenario.json"))
    run_cli(["replay", str(scenario), "--save", str(out / "again.run.jsonl")])
    run_cli(["explain", str(scenario)])
    printed = capfd.readouterr()
    assert "web" in printed.out
    assert clean(printed.out) and clean(printed.err)
    files = sorted(out.iterdir())
    assert {"report.html", "junit.xml", "result.json", "again.run.jsonl"} <= {path.name for path in files}
    for path in files:
        assert clean(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize(
    "text",
    [
        SECRET.replace(f"{{b: {MARK}}}", f"\n  pw: x: {MARK}"),  # a colon
        SECRET.replace(f"{{b: {MARK}}}", f"\n  pw: @{MARK}"),
        SECRET.replace(f"{{b: {MARK}}}", f"\n  pw: *{MARK}"),
        SECRET.replace(f"{{b: {MARK}}}", f'\n  pw: "{MARK}'),
        SECRET.replace(f"{{b: {MARK}}}", f"\n  pw: {MARK}\n bad: {MARK}"),
        SECRET.replace(f"{{b: {MARK}}}", f"\n\tpw: {MARK}"),
        SECRET.replace(f"{{b: {MARK}}}", f"[{MARK}"),
        SECRET.replace(f"{{b: {MARK}}}", f'\n  pw: {{{{ .Values.pw | default "{MARK}" }}}}'),
        SECRET.replace(f"{{b: {MARK}}}", f"{{b: {MARK}, b: {MARK}x}}"),  # a key twice
        SECRET.replace(f"{{b: {MARK}}}", "{b: 31415926}"),  # a number
        SECRET.replace("stringData", "stringdata"),  # an unknown field
        SECRET.replace(f"{{b: {MARK}}}", MARK),  # no mapping
        SECRET.replace(CODED, MARK),  # not base64
        SECRET.replace("v1", "v1beta1", 1),
        SECRET.replace("kind: Secret", "kind: Secrets"),
        WORKLOAD.replace(f"value: {MARK}}}]", "value: 31415926}]"),
        WORKLOAD.replace(f"value: {MARK}}}]", f"value: [{MARK}]}}]"),
        WORKLOAD.replace(f"value: {MARK}}}]", f"valu: {MARK}}}]"),
    ],
)
def test_messages_about_mistakes_do_not_repeat_it(text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the loader says, and what the command prints."""
    found = load([Text("secret.yaml", text.encode("utf-8"))])
    assert found.notes or "base64" in str(found.manifests[0].obj)
    assert all(clean(str(note)) for note in found.notes), found.notes
    assert all(clean(str(one.obj)) for one in found.manifests)
    app = tmp_path / "secret.yaml"
    app.write_text(text, encoding="utf-8")
    run_cli(["run", str(app), "--faults", "none", "--out", str(tmp_path / "out")])
    printed = capfd.readouterr()
    assert clean(printed.out) and clean(printed.err)
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "where", [("spec",), ("template", "spec"), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec")]
)
def test_env_is_redacted_wherever_containers_stand(where: tuple[str, ...]) -> None:
    """Pods, PodTemplates, workloads, CronJobs; the rest of the object is the same."""
    tree: dict[str, object] = {"containers": [{"name": "c", "env": [{"name": "A", "value": MARK}, {"name": "B"}], "args": ["x"]}]}
    for name in reversed(where):
        tree = {name: tree}
    found = redact({"kind": "Any", "metadata": {"name": "a"}, **tree})
    assert clean(str(found)) and "sha256:" in str(found) and "'args': ['x']" in str(found)


def test_redaction_keeps_what_the_api_server_judges() -> None:
    """Valid base64 stays valid, invalid stays invalid; equal values stay equal, different ones different."""
    secret = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"a": CODED, "b": CODED, "c": "eA==", "d": "%%%"}}
    data = redact(secret)["data"]
    assert data["a"] == data["b"] != data["c"]
    assert base64.b64decode(data["a"], validate=True).startswith(b"sha256:")
    assert data["d"].startswith("not base64")
