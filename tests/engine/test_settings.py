"""kchaos.yaml: what it may say, and where and how a mistake is told; its JSON Schema agrees with the parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kchaos.cli import run_cli
from kchaos.engine.settings import Settings, load_settings, schema
from kchaos.errors import InvalidScenario
from kchaos.models.manifests.yamltree import Document, parse
from tests.support import ROOT, SITUATIONS, ask

GOOD = [
    "",
    "# nothing\n",
    "version: 1\n",
    'kubernetes: "1.33"\n',
    "kubernetes: 1.34\n",
    "defaults: {start_s: 10, memory: 1Gi}\n",
    "workloads: {}\n",
    "workloads: {shop/web: {}}\n",
    "workloads: {shop/web: {start_s: 3, outage_s: 30.5, requests_per_s: 50, quorum: 2, memory: 512Mi, exit_after_s: 0}}\n",
    "workloads: {shop/web: {quorum: null, memory: null}}\n",
    "defaults: {calls: []}\n",
    "workloads: {a/b: {calls: [{verb: list, resource: pods}, {verb: watch, resource: nodes, needed: true}]}}\n",
    "workloads: {a/b: {calls: [{verb: get, resource: pods, subresource: log, name: x, namespace: kube-system, every_s: 1}]}}\n",
    "workloads: {a/b: {calls: [{verb: list, resource: certificates, apiGroup: cert-manager.io, namespace: '*'}]}}\n",
    "workloads: {a/b: {calls: [{verb: create, resource: leases, apiGroup: coordination.k8s.io}, {verb: deletecollection, resource: pods}]}}\n",
    "defaults: {calls: [{verb: create, resource: pods, subresource: eviction, namespace: a-1}, {verb: patch, resource: deployments, subresource: scale, name: a}]}\n",
    "defaults: {calls: [{verb: update, resource: certificates, subresource: status, apiGroup: cert-manager.io, name: a}]}\n",
    "webhooks: {}\n",
    "webhooks: {a.example.com: {}, b: {answers: timeout, latency_s: 1, down_with: Deployment/a/b}}\n",
    "webhooks: {a: {patch: [{op: add, path: /a, value: null}, {op: remove, path: ''}, {op: move, path: /a, from: /b}]}}\n",
    "properties: []\n",
    "properties:\n- {id: A.1, title: t, always: pods.size() > 1, for_s: 5, severity: warning, source: SLO, except_during: [drain], faults_at_once: 1}\n",
    "properties:\n- {id: a-1, title: t, never: pods.size() > 9, when: phase == 'chaos'}\n- {id: b, title: t, eventually: 'true', within_s: 10}\n",
    "properties:\n- {id: SHOP-1, title: t, eventually: pods.size() > 1, when: pods.size() < 2, within_s: 1200}\n",
    "properties:\n- {id: SHOP-1, title: t, eventually: pods.size() > 1}\naccept: [{id: SHOP-1, reason: x, date: 2026-02-28}]\n",
    "accept: []\n",
    "accept:\n- {id: KC202, object: Deployment/shop/batch, reason: at night, date: 2026-11-01}\n- {fingerprint: 0a1b2c3d, reason: x, date: 2026-02-28}\n",
]
BAD: list[tuple[str, int, str, str]] = [
    ("version: 2\n", 1, "version is not known", "version: 1"),
    ('# mine\nversion: "1"\n', 2, "version is not known", "version: 1"),
    ("version: 1\nfoo: 1\n", 2, "unknown setting foo", "known: version"),
    ("version: 1\nworkload: {}\n", 2, "unknown setting workload", "did you mean workloads?"),
    ("kubernetes: 1.3\n", 1, "kubernetes: 1.3 may mean more than one version", "quotes"),
    ("kubernetes: 1\n", 1, "kubernetes: must be text, not a whole number", "quotes"),
    ('# a\nkubernetes: "9.9"\n', 2, "Kubernetes 9.9 is not modelled", "1.34"),
    ("accept:\n- id: KC999\n  reason: x\n  date: 2026-11-01\n", 2, "no rule has the id KC999", "kchaos properties"),
    ("accept:\n- id: kc202\n  reason: x\n  date: 2026-11-01\n", 2, "no rule has the id kc202", "did you mean KC202?"),
    ("accept:\n- id: KC202\n  reason: x\n  date: 2026-13-45\n", 4, "'2026-13-45' is no date", "2026-11-01"),
    ("defaults:\n  strt_s: 1\n", 2, "unknown setting strt_s", "did you mean start_s?"),
    ('defaults:\n  start_s: "1"\n', 2, "defaults.start_s: must be a number, not text", ""),
    ("defaults:\n  outage_s: 1\n  start_s: yes\n", 3, "defaults.start_s: must be a number, not true or false", ""),
    ("defaults:\n  start_s: -1\n", 2, "start_s can't be negative", "0 or more"),
    ("defaults:\n  start_s:\n", 2, "defaults.start_s: must be a number, not null", "remove the key"),
    ("version: 1\ndefaults: 5\n", 2, "defaults: must be a mapping, not a whole number", ""),
    ("version: 1\ndefaults:\n", 2, "defaults: must be a mapping, not null", "remove the key"),
    ("workloads: []\n", 1, "workloads: must be a mapping, not a list", ""),
    ("workloads:\n  shop/web:\n", 2, "workloads.shop/web: must be a mapping, not null", "remove the key"),
    ("workloads:\n  a/b: {}\n  c/d: 5\n", 3, "workloads.c/d: must be a mapping", ""),
    ("workloads:\n  web: {}\n", 2, "not a workload: web", "default/web"),
    ("workloads:\n  Deployment/shop/web: {}\n", 2, "not a workload: Deployment/shop/web", "shop/web"),
    ("workloads:\n  a/b:\n    start: 5\n", 3, "unknown setting start", "did you mean start_s?"),
    ("workloads:\n  a/b:\n    quorum: 0\n", 3, "quorum must be 1 or more", "default"),
    ("workloads:\n  a/b:\n    quorum: 1.5\n", 3, "workloads.a/b.quorum: must be a whole number", ""),
    ("workloads:\n  a/b:\n    memory: 5\n", 3, "workloads.a/b.memory: must be text", "quotes"),
    ("workloads:\n  a/b:\n    memory: 5Gx\n", 3, "memory '5Gx' is no quantity", "512Mi"),
    ("defaults:\n  calls: {verb: list}\n", 2, "defaults.calls: must be a list, not a mapping", ""),
    ("defaults:\n  calls:\n  - list pods\n", 3, "defaults.calls[0]: must be a mapping, not text", ""),
    ("defaults:\n  calls:\n  - verb: list\n", 3, "missing required field resource", "write resource:"),
    ("defaults:\n  calls:\n  - resource: pods\n    verb: lst\n", 4, "defaults.calls[0].verb: lst is none of them", "did you mean list?"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: pods\n    evry_s: 3\n", 5, "unknown setting evry_s", "every_s"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: pods\n    every_s: 0\n", 5, "every_s: must be 1 or more", ""),
    ("defaults:\n  calls:\n  - verb: list\n    resource: Pod\n", 4, "Pod is a kind, not a resource", "write pods"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: podz\n", 4, "no resource 'podz'", "did you mean pods?"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: foos\n", 4, "no resource 'foos'", "apiGroup"),
    (
        "defaults:\n  calls:\n  - verb: get\n    resource: pods\n    name: a\n    subresource: lgo\n",
        6,
        "pods have no subresource lgo",
        "did you mean log?",
    ),
    (
        "defaults:\n  calls:\n  - {verb: get, resource: nodes, name: a, subresource: exec}\n",
        3,
        "nodes have no subresource exec",
        "it has proxy, status",
    ),
    (
        "defaults:\n  calls:\n  - {verb: get, resource: secrets, name: a, subresource: status}\n",
        3,
        "secrets have no subresource",
        "leave it out",
    ),
    ("defaults:\n  calls:\n  - verb: list\n    resource: pods\n    namespace: Shop\n", 5, "'Shop' can't name a namespace", "small letters"),
    ("defaults:\n  calls:\n  - {verb: get, name: a, resource: pods/log}\n", 3, "names a subresource", "subresource: log"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: deployments\n    apiGroup: extensions\n", 5, "of group extensions", "apps"),
    ("defaults:\n  calls:\n  - verb: get\n    resource: pods\n", 3, "get asks for one object", "name"),
    ("defaults:\n  calls:\n  - verb: list\n    resource: nodes\n    namespace: a\n", 5, "nodes are in no namespace", "leave it out"),
    ("defaults:\n  calls:\n  - {verb: create, resource: pods, namespace: '*'}\n", 3, "create asks in one namespace", "pod's own"),
    ("workloads:\n  a/b:\n    calls:\n    - {verb: watch, resource: pods, every_s: 5}\n", 4, "a watch stays open", "leave it out"),
    ("webhooks: []\n", 1, "webhooks: must be a mapping, not a list", ""),
    ("webhooks:\n  a.b.c:\n", 2, "webhooks.a.b.c: must be a mapping, not null", ""),
    ("webhooks:\n  a.b.c:\n    answer: deny\n", 3, "unknown setting answer", "did you mean answers?"),
    ("webhooks:\n  a.b.c:\n    answers: refuse\n", 3, "answers: refuse is none of them", "write one of allow, deny, timeout"),
    ("webhooks:\n  a.b.c:\n    latency_s: -1\n", 3, "latency_s: must be 0 or more", ""),
    ("webhooks:\n  a.b.c:\n    down_with: shop/web\n", 3, "not a workload: shop/web", "Deployment/default/web"),
    ("webhooks:\n  a.b.c:\n    patch: [{op: put, path: /a}]\n", 3, "op must be one of add", "op: add"),
    ("webhooks:\n  a.b.c:\n    patch:\n    - {op: add, path: /a}\n", 4, "add needs value", "op: add"),
    ("webhooks:\n  a.b.c:\n    patch:\n    - {op: remove, path: a}\n", 4, "path must be text that begins with /", "op: add"),
    ("webhooks:\n  a.b.c:\n    patch:\n    - {op: remove, path: /a, value: 1}\n", 4, "remove does not take value", "op: add"),
    ("accept:\n  id: KC202\n", 1, "accept: must be a list, not a mapping", ""),
    ("accept:\n- 5\n", 2, "accept[0]: must be a mapping", ""),
    ("accept:\n- id: KC202\n  reason: x\n", 2, "missing required field date", "write date:"),
    ("accept:\n- reason: x\n  date: z\n", 2, "needs its id or fingerprint", "id: KC202"),
    ('accept:\n- id: ""\n  reason: x\n  date: z\n', 2, "needs its id or fingerprint", "id: KC202"),
    ("accept:\n- id: KC202\n  reason: x\n  date: z\n  objet: z\n", 5, "unknown setting objet", "did you mean object?"),
    ("accept:\n- id: 202\n  reason: x\n  date: z\n", 2, "accept[0].id: must be text", "quotes"),
    ("properties: {}\n", 1, "properties: must be a list, not a mapping", ""),
    ("properties:\n- pods.size() > 1\n", 2, "properties[0]: must be a mapping, not text", ""),
    ("properties:\n- title: t\n  always: 'true'\n", 2, "a property needs an id", "SHOP-1"),
    ("properties:\n- title: t\n  id: KC202\n  always: 'true'\n", 3, "ids that begin with KC are kchaos' own", "SHOP-1"),
    ("properties:\n- title: t\n  id: a b\n  always: 'true'\n", 3, "'a b' can't be an id", "SHOP-1"),
    ("properties:\n- id: A\n  always: 'true'\n", 2, "A has no title", "in words"),
    ("properties:\n- id: A\n  title: t\n", 2, "A has none of always, never and eventually", "one of them"),
    ("properties:\n- id: A\n  title: t\n  always: 'true'\n  never: 'true'\n", 5, "A has always and never at once", "one of them"),
    ("properties:\n- id: A\n  title: t\n  allways: 'true'\n", 4, "unknown setting allways", "did you mean always?"),
    ("properties:\n- id: A\n  title: t\n  always: true\n", 4, "properties[0].always: must be text, not true or false", "quotes"),
    ("properties:\n- id: A\n  title: t\n  always: ''\n", 4, "always: the expression is empty", "quotes"),
    ("properties:\n- id: A\n  title: t\n  never: 'true'\n  within_s: 5\n", 5, "within_s is for eventually", "for_s"),
    ("properties:\n- id: A\n  title: t\n  eventually: 'true'\n  for_s: 5\n", 5, "for_s is for always and never", "within_s"),
    ("properties:\n- id: A\n  title: t\n  eventually: 'true'\n  when: 'true'\n", 5, "eventually with when needs within_s", "within_s: 120"),
    (
        "properties:\n- id: A\n  title: t\n  eventually: 'true'\n  within_s: 5000\n",
        5,
        "longer than a run has to come to rest",
        "1200 or less",
    ),
    ("properties:\n- id: A\n  title: t\n  always: 'true'\n  for_s: -1\n", 5, "must be 0 or more", ""),
    ("properties:\n- id: A\n  title: t\n  always: 'true'\n  severity: eror\n", 5, "eror is none of them", "did you mean error?"),
    (
        "properties:\n- id: A\n  title: t\n  always: 'true'\n  except_during: [drian]\n",
        5,
        "no fault is called drian",
        "did you mean drain?",
    ),
    ("properties:\n- python: a.py\n  id: A\n", 3, "id stands beside python", "leave it out"),
    ("- a\n", 1, "not a mapping", "workloads:"),
    ("hello\n", 1, "not a mapping", "workloads:"),
]
ONLY_TEXT: list[tuple[str, int, str, str]] = [
    ("version: 1\ndefaults: [\n", 2, "a [ that is not closed", "]"),
    ("defaults:\n\tstart_s: 1\n", 2, "a tab", "spaces"),
    ("defaults: {start_s: 1}\nversion: 1\ndefaults: {}\n", 3, "'defaults' stands twice", "remove one"),
    ("version: 1\n---\nversion: 1\n", 3, "more than one document", "---"),
    ("accept:\n- {id: SHOP-1, reason: x, date: 2026-02-28}\n", 2, "no rule has the id SHOP-1", "kchaos properties"),
    (
        "properties:\n- id: A\n  title: t\n  always: |\n    pods.size()\n    >\n",
        4,
        "always: at line 2, character 2: not a CEL expression",
        "cel.dev",
    ),
    ("properties:\n- id: A\n  title: t\n  always: workload('a/b').ready > 1\n", 4, "is called workload", "did you mean workloads"),
    ("properties:\n- id: A\n  title: t\n  always: pods.all(p, p.redy)\n", 4, "pod has no field redy", "did you mean ready?"),
    ("properties:\n- id: A\n  title: t\n  always: pods.size()\n", 4, "gives a number, not true or false", ">= 2"),
    ("properties:\n- id: A\n  title: t\n  always: !pods.exists(p, p.ready)\n", 4, "`!` begins a tag", "in quotes"),
    ("properties:\n- id: A\n  title: t\n  always: !empty\n", 4, "the expression is empty", "begins with !"),
    ("properties:\n- id: A\n  title: t\n  always: 'true'\n  when: a.b\n", 5, "no variable", "known: pods"),
    ("properties:\n- {id: A, title: t, always: 'true'}\n- {id: A, title: u, never: 'true'}\n", 3, "the id A stands twice", "of its own"),
    ("properties:\n- python: none.py\n", 2, "no such file: none.py", "folder"),
]
"""What a schema can't know."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file stands."""
    return tmp_path / "kchaos.yaml"


def value_of(text: str) -> Any:
    """Return the document's value, as an editor with a schema sees it."""
    return next((one.value for one in parse(text) if isinstance(one, Document)), {})


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str, file: Path) -> None:
    """It is read, and fits the schema."""
    file.write_text(text, encoding="utf-8")
    assert isinstance(load_settings(file), Settings)
    jsonschema.Draft202012Validator(schema()).validate(value_of(text))


@pytest.mark.parametrize(("text", "line", "says", "hint"), BAD + ONLY_TEXT)
def test_bad(text: str, line: int, says: str, hint: str, file: Path) -> None:
    """File, line, what is wrong, what to write."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidScenario) as caught:
        load_settings(file)
    assert str(caught.value.location) == f"{file}:{line}"
    assert says in caught.value.message and hint in caught.value.hint and caught.value.hint


@pytest.mark.parametrize("text", [row[0] for row in BAD])
def test_the_schema_refuses_it_too(text: str) -> None:
    """An editor marks what the parser refuses."""
    assert not jsonschema.Draft202012Validator(schema()).is_valid(value_of(text))


def test_the_schema_is_one() -> None:
    """Valid draft 2020-12, and it knows every assumption that the page about kchaos.yaml lists."""
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    page = (ROOT / "docs" / "kchaos-yaml.md").read_text(encoding="utf-8")
    listed = [name for row in page.splitlines() if row.startswith("| `") for name in row.split("|")[1].split("`")[1::2]]
    assert sorted(listed) == sorted(
        name for one in ("Assumptions", "ApiCall", "WebhookTable", "Written") for name in found["$defs"][one]["properties"]
    )


def test_what_it_means(file: Path) -> None:
    """Workloads begin from the defaults; expectations are what properties look at."""
    file.write_text("defaults: {start_s: 9, outage_s: 2}\nworkloads: {a/b: {quorum: 2, exit_after_s: 3}}\n", encoding="utf-8")
    found = load_settings(file)
    named, other = found.table().named("a", "b"), found.table().named("a", "c")
    assert [(one.start_s, one.exit_after_s, one.quorum) for one in (named, other)] == [(9, 3, 2), (9, 1, None)]
    assert found.default().start_s == 9
    assert found.expectations() == {"workloads": {"a/b": {"quorum": 2}, "*": {"outage_s": 2}}}


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \xe4\n"])
def test_no_text(data: bytes, file: Path) -> None:
    """Bytes that are no UTF-8."""
    file.write_bytes(data)
    with pytest.raises(InvalidScenario, match="can't read it"):
        load_settings(file)


def test_the_command_exits_2(file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Found beside the input or in the current folder; named by --config; missing."""
    (file.parent / "app.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", encoding="utf-8")
    file.write_text("version: 1\nfoo: 1\n", encoding="utf-8")
    assert run_cli(["run", str(file.parent / "app.yaml")]) == 2
    assert f"error: {file}:2: unknown setting foo" in capfd.readouterr().err
    assert run_cli(["run", str(file.parent / "app.yaml"), "--config", str(file.parent / "none.yaml")]) == 2
    printed = capfd.readouterr().err
    assert "none.yaml: can't read it" in printed and "Traceback" not in printed


def test_an_outage_that_is_borne_by_all() -> None:
    """`defaults` count for workloads that are not named; what a workload says of itself counts more."""

    def found(settings: Settings) -> list[str]:
        result = ask([SITUATIONS / "one-replica.yaml"], faults="drain", budget="4", settings=settings).result
        return [one.object for one in result.findings if one.id == "KC202"]

    assert found(Settings())
    assert not found(Settings(defaults={"outage_s": 60}))
    name = found(Settings())[0].partition("/")[2]
    assert found(Settings(defaults={"outage_s": 60}, workloads={name: {"outage_s": 0}}))
