"""What the objects name and is not there: ports of Services and probes, ConfigMaps, Secrets, service accounts, governing Services."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Loaded, Manifest
from kchaos.models.manifests.notes import Note
from kchaos.models.manifests.redact import hashed

LISTED = 6
"""Objects of one kind that are named one by one; the rest is put together."""
ALWAYS = {"ConfigMap": ("kube-root-ca.crt",), "ServiceAccount": ("default",)}
"""Objects that Kubernetes makes in each namespace."""
_TOKEN = re.compile(r"-token(-[a-z0-9]{5})?$")
_GIVE = "if it exists in your cluster, give it with --context; else add it"
_HOW = {
    "account": ("runs as", "the API server refuses the pods"),
    "volume": ("mounts", "the pods stay in ContainerCreating"),
    "variable": ("takes variables from", "the pods stay in CreateContainerConfigError"),
}  # fmt: skip


class Pods(NamedTuple):
    """A pod template or a Pod: who has it, where its spec and labels stand."""

    owner: Obj
    manifest: Manifest | None
    path: str
    space: str
    labels: dict[str, str]
    spec: Obj

    def containers(self) -> Iterator[tuple[str, Obj]]:
        """Yield (path, container), init containers first."""
        for group in ("initContainers", "containers"):
            found = self.spec.get(group)
            for index, one in enumerate(found if isinstance(found, list) else ()):
                if isinstance(one, dict):
                    yield f"{self.path}.{group}[{index}]", one

    @property
    def words(self) -> str:
        """Return kind and name."""
        return f"{self.owner['kind']} {get(self.owner, 'metadata', 'name', default='')}"


class Need(NamedTuple):
    """One object that pods name, with the keys that must be in it (empty: none in particular)."""

    kind: str
    name: str
    path: str
    how: str
    key: str = ""


def references(loaded: Loaded, context: Sequence[Obj], refused: Iterable[str]) -> Iterator[Note]:
    """Yield a note for each name that leads nowhere. ``refused``: ids of objects that the API server did not take."""
    refused = frozenset(refused)
    manifests = [one for one in loaded.manifests if one.id not in refused]
    pods = [*pods_of([(one.obj, one) for one in manifests]), *pods_of([(obj, None) for obj in context])]
    hooked = any(one.obj["kind"] == "MutatingWebhookConfiguration" for one in manifests)
    yield from _service_ports(manifests, pods, hooked)
    yield from _probe_ports(pods, hooked)
    yield from _governing(manifests, context)
    yield from _missing(loaded, manifests, context, pods)


def pods_of(objects: Iterable[tuple[Obj, Manifest | None]]) -> Iterator[Pods]:
    """Yield every Pod and pod template."""
    for obj, manifest in objects:
        space = get(obj, "metadata", "namespace", default="")
        if obj["kind"] == "Pod":
            yield Pods(obj, manifest, "spec", space, get(obj, "metadata", "labels", default={}), get(obj, "spec", default={}))
            continue
        path = "spec.jobTemplate.spec.template" if obj["kind"] == "CronJob" else "spec.template"
        template = get(obj, *path.split("."))
        if isinstance(template, dict) and isinstance(template.get("spec"), dict):
            yield Pods(obj, manifest, path + ".spec", space, get(template, "metadata", "labels", default={}), template["spec"])


# -- ports -------------------------------------------------------------------------------------------------------------


def _ports(container: Obj) -> list[Obj]:
    found = container.get("ports")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def serving_ports(pods: Pods) -> Iterator[Obj]:
    """Yield the ports of containers that keep running: plain ones and sidecars (as the endpoint controllers look for them)."""
    for path, container in pods.containers():
        if ".initContainers[" not in path or container.get("restartPolicy") == "Always":
            yield from _ports(container)


def _service_ports(manifests: Sequence[Manifest], pods: Sequence[Pods], hooked: bool) -> Iterator[Note]:
    for one in manifests:
        selector = get(one.obj, "spec", "selector")
        if one.obj["kind"] != "Service" or not selector or get(one.obj, "spec", "type") == "ExternalName":
            continue
        fits = from_map(selector)
        space = one.obj["metadata"].get("namespace", "")
        behind = [p for p in pods if p.space == space and fits(p.labels)]
        if not behind:
            continue  # KC310
        declared = [port for p in behind for port in serving_ports(p)]
        owners = _some([p.words for p in behind])
        for index, port in enumerate(get(one.obj, "spec", "ports", default=())):
            target = port.get("targetPort", port.get("port"))
            protocol = port.get("protocol") or "TCP"
            line = one.at(f"spec.ports[{index}].targetPort")
            what = f"Service {one.obj['metadata'].get('name', '')} sends port {port.get('port')} to"
            if isinstance(target, str):
                same = [d for d in declared if d.get("name") == target]
                if any((d.get("protocol") or "TCP") == protocol for d in same):
                    continue
                if same:
                    hint = (
                        f"the container's {target} is {same[0].get('protocol') or 'TCP'}, the Service's port is {protocol}: write the same"
                    )
                else:
                    hint = _named(target, [str(d["name"]) for d in declared if d.get("name")], "port")
                says = f"{what} the port named {target}, which no container of {owners} has: nobody ever answers there"
                yield Note("KC317", "warning" if hooked else "error", one.file, line, says, hint, one.id)
            elif declared and isinstance(target, int) and all(d.get("containerPort") != target for d in declared):
                numbers = ", ".join(dict.fromkeys(str(d.get("containerPort")) for d in declared))
                says = (
                    f"{what} {target}, which no container of {owners} declares ({numbers}): it works only if one listens there all the same"
                )
                yield Note("KC317", "info", one.file, line, says, "", one.id)


def _probe_ports(pods: Sequence[Pods], hooked: bool) -> Iterator[Note]:
    effects = {
        "startupProbe": ("error", "the kubelet never gets an answer, so the container never counts as started nor ready"),
        "readinessProbe": ("error", "the kubelet never gets an answer, so the pods never become ready"),
        "livenessProbe": ("warning", "the kubelet throws each result away, so the probe never restarts anything"),
    }
    for one in pods:
        if one.manifest is None:
            continue
        for path, container in one.containers():
            names = [str(port["name"]) for port in _ports(container) if port.get("name")]
            for probe, (level, effect) in effects.items():
                for sort in ("httpGet", "tcpSocket"):
                    port = get(container, probe, sort, "port")
                    if not isinstance(port, str) or port.isdigit() or port in names:
                        continue
                    says = f"{probe} of container {container.get('name', '')} of {one.words} asks the port named {port}, which the container does not have: {effect}"
                    at = one.manifest.at(f"{path}.{probe}.{sort}.port")
                    yield Note(
                        "KC318", "warning" if hooked else level, one.manifest.file, at, says, _named(port, names, "port"), one.manifest.id
                    )


def _named(wanted: str, names: Sequence[str], what: str) -> str:
    """Return a hint: what comes near, else what there is, else what to write."""
    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    if names:
        return f"its {what}s are named {', '.join(names[:8])}; write one of them"
    return f"name the container's {what}: `ports: [{{name: {wanted}, containerPort: 8080}}]`, or write its number here"


def _some(words: Sequence[str]) -> str:
    words = list(dict.fromkeys(words))
    return " or ".join(words[:2]) + (f" or {len(words) - 2} more" if len(words) > 2 else "")


# -- objects -----------------------------------------------------------------------------------------------------------


def _governing(manifests: Sequence[Manifest], context: Sequence[Obj]) -> Iterator[Note]:
    found = [obj for obj in [*(m.obj for m in manifests), *context] if obj["kind"] == "Service"]
    services = [(_space(obj), _name(obj)) for obj in found]
    for one in manifests:
        wanted = get(one.obj, "spec", "serviceName") if one.obj["kind"] == "StatefulSet" else None
        space = _space(one.obj)
        if not wanted or (space, wanted) in services:
            continue
        labels = get(one.obj, "spec", "template", "metadata", "labels", default={})
        own = [_name(obj) for obj in found if _space(obj) == space and from_map(get(obj, "spec", "selector", default={}))(labels)]
        near = difflib.get_close_matches(wanted, own, n=1, cutoff=0.75)
        elsewhere = next((where for where, name in services if name == wanted), "")
        if near:
            hint = f"did you mean {near[0]}?"
        elif elsewhere:
            hint = f"there is one in namespace {elsewhere}: it must be in {space}"
        else:
            hint = f"add a headless Service {wanted} (clusterIP: None) that selects its pods, or give it with --context"
        says = f"the Service {wanted} that StatefulSet {_name(one.obj)} names is not in these files: without it its pods get no DNS names"
        yield Note("KC320", "warning", one.file, one.at("spec.serviceName"), says, hint, one.id)


def _needs(one: Pods) -> Iterator[Need]:
    """Yield what pods can't start without: what is marked optional is left out."""
    spec = one.spec
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if isinstance(account, str) and account:
        field = "serviceAccountName" if spec.get("serviceAccountName") else "serviceAccount"
        yield Need("ServiceAccount", account, f"{one.path}.{field}", "account")
    volumes = spec.get("volumes")
    for index, volume in enumerate(volumes if isinstance(volumes, list) else ()):
        at = f"{one.path}.volumes[{index}]"
        yield from _of_source(volume, "configMap", "name", at)
        yield from _of_source(volume, "secret", "secretName", at)
        for number, source in enumerate(get(volume, "projected", "sources", default=())):
            yield from _of_source(source, "configMap", "name", f"{at}.projected.sources[{number}]")
            yield from _of_source(source, "secret", "name", f"{at}.projected.sources[{number}]")
    for path, container in one.containers():
        for group, below in (("envFrom", ()), ("env", ("valueFrom",))):
            found = container.get(group)
            for index, item in enumerate(found if isinstance(found, list) else ()):
                for kind, ref in (("ConfigMap", "configMap"), ("Secret", "secret")):
                    field = ref + ("KeyRef" if below else "Ref")
                    source = get(item, *below, field, default={})
                    if source.get("name") and not source.get("optional"):
                        at = ".".join((f"{path}.{group}[{index}]", *below, field, "name"))
                        yield Need(kind, source["name"], at, "variable", source.get("key", "") if below else "")


def _of_source(volume: Any, field: str, name: str, at: str) -> Iterator[Need]:
    source = get(volume, field, default={})
    if not source.get(name) or source.get("optional"):
        return
    kind = "ConfigMap" if field == "configMap" else "Secret"
    yield Need(kind, source[name], f"{at}.{field}.{name}", "volume")
    for index, item in enumerate(source.get("items") or ()):
        if get(item, "key"):
            yield Need(kind, source[name], f"{at}.{field}.items[{index}].key", "volume", item["key"])


class _Gap(NamedTuple):
    space: str
    first: Need
    users: list[Pods]


def _missing(loaded: Loaded, manifests: Sequence[Manifest], context: Sequence[Obj], pods: Sequence[Pods]) -> Iterator[Note]:
    there: dict[tuple[str, str], dict[str, Obj]] = {}
    for obj in [*context, *(m.obj for m in manifests)]:
        if obj["kind"] in ("ConfigMap", "Secret", "ServiceAccount"):
            there.setdefault((obj["kind"], _space(obj)), {})[_name(obj)] = obj
    gaps: dict[tuple[str, str, str], _Gap] = {}
    said: dict[tuple[str, str, str, str], None] = {}
    for one in pods:
        if one.manifest is None:
            continue
        for need in _needs(one):
            found = there.get((need.kind, one.space), {}).get(need.name)
            if found is None:
                if need.name not in ALWAYS.get(need.kind, ()):
                    gaps.setdefault((need.kind, one.space, need.name), _Gap(one.space, need, [])).users.append(one)
            elif need.key and (need.kind, one.space, need.name, need.key) not in said:
                said[need.kind, one.space, need.name, need.key] = None
                yield from _key(one, need, found)
    makers = _makers(loaded, manifests)
    open_: dict[str, list[tuple[_Gap, Note]]] = {}
    for (kind, _, _), gap in gaps.items():
        note = _gap(gap, there, makers)
        if note.level == "info":
            yield note
        else:
            open_.setdefault(kind, []).append((gap, note))
    for kind, rows in open_.items():
        yield from (note for _, note in rows[:LISTED])
        if len(rows) > LISTED:
            names = ", ".join(gap.first.name for gap, _ in rows[LISTED:])
            note = rows[LISTED][1]
            says = f"{len(rows) - LISTED} more {kind}s that pods need are not in these files: {names}"
            yield note._replace(message=says, hint="give them with --context, or add them")


def _key(one: Pods, need: Need, found: Obj) -> Iterator[Note]:
    keys = [key for part in ("data", "binaryData", "stringData") for key in get(found, part, default={})]
    if need.key in keys or one.manifest is None:
        return
    says = f"{one.words} needs the key {need.key} of {need.kind} {need.name}, which has no such key: its pods can't start"
    near = difflib.get_close_matches(need.key, keys, n=1, cutoff=0.6)
    if not keys:  # something may fill it
        level, hint = "info", ""
    elif near:
        level, hint = "error", f"did you mean {near[0]}?"
    else:
        level, hint = "warning", f"its keys are {', '.join(keys[:8])}"
    path = need.path.removesuffix(".name") + ".key" if need.path.endswith("KeyRef.name") else need.path
    yield Note("KC319", level, one.manifest.file, one.manifest.at(path), says, hint, one.manifest.id)


def _gap(gap: _Gap, there: dict[tuple[str, str], dict[str, Obj]], makers: Sequence[tuple[str, str, str]]) -> Note:
    need, users = gap.first, list(dict.fromkeys(one.words for one in gap.users))
    first = gap.users[0]
    manifest = first.manifest
    assert manifest is not None
    more = f" (and {len(users) - 1} more)" if len(users) > 1 else ""
    ident = f"{need.kind}/{gap.space}/{need.name}"
    line = manifest.at(need.path)
    what = f"{need.kind} {need.name}"
    maker = ""
    hidden = (hashed(need.name), hashed(f"{gap.space}/{need.name}"))  # the loader hides what follows --secret-name
    for text, who, words in makers:
        if who not in users and (need.name == text or (len(need.name) > 5 and need.name in text) or any(one in text for one in hidden)):
            maker = f"{who} {words}"
            break
    if maker or (need.kind == "Secret" and _TOKEN.search(need.name)):
        says = f"{what} is not in these files ({users[0]}{more} needs it): {maker or 'it looks like a token that Kubernetes makes'}"
        return Note("KC319", "info", manifest.file, line, says, "", ident)
    verb, effect = _HOW[need.how]
    names = [*there.get((need.kind, gap.space), {})]
    near = difflib.get_close_matches(need.name, names, n=1, cutoff=0.8)
    elsewhere = next((space for (kind, space), table in there.items() if kind == need.kind and need.name in table), "")
    hint = (
        f"did you mean {near[0]}?" if near else f"there is one in namespace {elsewhere}: it must be in {gap.space}" if elsewhere else _GIVE
    )
    says = f"{users[0]}{more} {verb} {what}, which is not in these files: without it {effect}; assumed to exist"
    return Note("KC319", "warning", manifest.file, line, says, hint, ident)


def _makers(loaded: Loaded, manifests: Sequence[Manifest]) -> list[tuple[str, str, str]]:
    """Return texts that may hold the names of objects which something in the input makes, and who that is."""
    out: list[tuple[str, str, str]] = []
    for one in loaded.custom:
        who = f"{one.obj['kind']} {_name(one.obj)}"
        out += [(text, who, "may make it") for text in (_name(one.obj), *_texts(one.obj.get("spec")))]
    for pods in pods_of([(one.obj, one) for one in manifests]):
        for _, container in pods.containers():
            out += [
                (text, pods.words, "names it in its arguments and may make it")
                for text in _texts([container.get("command"), container.get("args")])
            ]
    return out


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for below in tree.values():
            yield from _texts(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from _texts(below)


def _space(obj: Obj) -> str:
    return str(get(obj, "metadata", "namespace", default=""))


def _name(obj: Obj) -> str:
    return str(get(obj, "metadata", "name", default=""))
