"""What can be said of the objects without running them, after the boot: selectors that match nothing, pods nobody knows, refusals."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from types import MappingProxyType

from kchaos.engine.booting import Boot
from kchaos.engine.hooks import Said, not_asked, unknown_answers
from kchaos.engine.policies import policy_notes
from kchaos.engine.references import references
from kchaos.engine.roles import roles
from kchaos.engine.settings import Settings
from kchaos.models.api.selectors import compile_selector, from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.cluster import SYSTEM_NAMESPACES
from kchaos.models.manifests.custom import harmless
from kchaos.models.manifests.load import Loaded, Manifest, placeholder
from kchaos.models.manifests.notes import Note
from kchaos.models.node.apicall import ALL

NOT_MODELLED = {
    "HorizontalPodAutoscaler": "nothing scales by itself: spec.replicas counts",
    "Ingress": "requests go to the Services directly",
    "ValidatingAdmissionPolicy": "it is not evaluated", "APIService": "its API is not served",
    "Role": "of the requests of pods to the API, only those in kchaos.yaml (calls) are sent",
    "ClusterRole": "of the requests of pods to the API, only those in kchaos.yaml (calls) are sent", "RuntimeClass": "its overhead is not added",
}  # fmt: skip
"""Kinds that are stored and do nothing here, and what that means."""


def checks(loaded: Loaded, booted: Boot, context: Iterable[Obj] = (), webhooks: Said = MappingProxyType({})) -> list[Note]:
    """Return remarks on the objects. ``webhooks``: what kchaos.yaml says of them."""
    context = list(context)
    by_id = {one.id: one for one in loaded.manifests}
    out = list(_refused(booted, by_id))
    templates = [*_templates(one.obj for one in loaded.manifests), *_templates(context)]
    unknown = [one for one in loaded.custom if not harmless(one.obj["apiVersion"], one.obj["kind"])]
    unseen = "an operator may make them" if unknown else "what could not be read may have them" if _unread(loaded) else ""
    out += _selectors(loaded.manifests, templates, unseen, {f"{r.obj['kind']}/{r.obj['metadata'].get('name')}" for r in booted.refused})
    out += _classes(loaded.manifests, context)
    out += _gates(loaded.manifests)
    out += _nowhere(loaded.manifests, booted)
    refused = [_ident(one.obj) for one in booted.refused]
    out += references(loaded, context, refused)
    out += roles([one for one in loaded.manifests if one.id not in refused], context)
    out += policy_notes(loaded.manifests, context, not unknown)
    for one in unknown:
        name = get(one.obj, "metadata", "name", default="")
        text = f"{one.obj['kind']} {name}: an operator would turn it into pods that are not in these files, so what becomes of them is not known"
        out.append(
            Note(
                "KC311",
                "unknown",
                one.file,
                one.line,
                text,
                "run the operator's output: the objects it makes",
                f"{one.obj['kind']}//{name}",
            )
        )
    out += unknown_answers(loaded.manifests, context, webhooks)
    return out


def _refused(booted: Boot, by_id: dict[str, Manifest]) -> Iterator[Note]:
    for refusal in booted.refused:
        obj = refusal.obj
        meta = obj["metadata"]
        ident = _ident(obj)
        manifest = by_id.get(ident)
        file, line = (manifest.file, manifest.line) if manifest is not None else ("", 0)
        hint = ""
        if manifest is not None:
            path = _path_in(refusal.message)
            if path:
                line = manifest.at(path)
        if found := placeholder(refusal.message):
            hint = f"{found} is an unrendered placeholder: render the template first"
        yield Note(
            "KC309",
            "error",
            file,
            line,
            f"the API server refuses {obj['kind']} {meta.get('name', '')}: {_short(refusal.message)}",
            hint,
            ident,
        )


def _ident(obj: Obj) -> str:
    meta = obj["metadata"]
    return f"{obj['kind']}/{meta.get('namespace', '')}/{meta.get('name') or meta.get('generateName', '')}"


def _short(message: str) -> str:
    """Return a server's message without the part that repeats which object it is about."""
    head, sep, rest = message.partition(" is invalid: ")
    return rest if sep and len(head) < 200 else message


def _path_in(message: str) -> str:
    import re

    found = re.search(
        r"((?:spec|metadata|data|rules|subjects|roleRef|webhooks)(?:[.\[][^\s:]*)?): (?:Required|Invalid|Unsupported|Forbidden|Duplicate|Not found|Too)",
        message,
    )
    return found[1] if found else ""


def _templates(objects: Iterable[Obj]) -> list[tuple[str, dict[str, str], str]]:
    out = []
    for obj in objects:
        space = get(obj, "metadata", "namespace", default="")
        if obj["kind"] == "Pod":
            out.append((space, get(obj, "metadata", "labels", default={}), f"Pod {get(obj, 'metadata', 'name', default='')}"))
            continue
        if obj["kind"] == "StatefulSet":
            out += _numbered(obj, space)
        template = get(obj, "spec", "jobTemplate", "spec", "template") if obj["kind"] == "CronJob" else get(obj, "spec", "template")
        if isinstance(template, dict):
            out.append((space, get(template, "metadata", "labels", default={}), f"{obj['kind']} {obj['metadata'].get('name', '')}"))
    return out


def _numbered(owner: Obj, space: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the labels of each pod of a StatefulSet: they carry its name and number."""
    name = owner["metadata"].get("name", "")
    count = get(owner, "spec", "replicas", default=1)
    first = get(owner, "spec", "ordinals", "start", default=0)
    labels = get(owner, "spec", "template", "metadata", "labels", default={})
    return [
        (
            space,
            {**labels, "statefulset.kubernetes.io/pod-name": f"{name}-{n}", "apps.kubernetes.io/pod-index": str(n)},
            f"StatefulSet {name}",
        )
        for n in range(first, first + (count if isinstance(count, int) else 1))
    ]


def _classes(manifests: Iterable[Manifest], context: Iterable[Obj]) -> Iterator[Note]:
    """Say which claims name a class that does not exist here."""
    manifests = list(manifests)
    known = {obj["metadata"].get("name") for obj in [*(m.obj for m in manifests), *context] if obj["kind"] == "StorageClass"} | {"standard"}
    volumes = {get(m.obj, "spec", "storageClassName") for m in manifests if m.obj["kind"] == "PersistentVolume"}
    hint = "give your cluster's classes: --context classes.yaml, or --topology with the output of kubectl get nodes,sc -o yaml"
    for one in manifests:
        if one.obj["kind"] == "PersistentVolumeClaim":
            claims = [(one.obj, "spec.storageClassName")]
        elif one.obj["kind"] == "StatefulSet":
            templates = get(one.obj, "spec", "volumeClaimTemplates", default=())
            claims = [(t, f"spec.volumeClaimTemplates[{i}].spec.storageClassName") for i, t in enumerate(templates)]
        else:
            continue
        for claim, path in claims:
            wanted = get(claim, "spec", "storageClassName")
            if wanted and wanted not in known and wanted not in volumes and not get(claim, "spec", "volumeName"):
                name = get(claim, "metadata", "name", default="")
                text = f"claim {name} asks for StorageClass {wanted}, which does not exist here: it stays Pending, and so do its pods"
                yield Note("KC314", "error", one.file, one.at(path), text, hint, one.id)


def _gates(manifests: Iterable[Manifest]) -> Iterator[Note]:
    """Say which pods wait for somebody to open their scheduling gates."""
    for one in manifests:
        path = "spec.schedulingGates" if one.obj["kind"] == "Pod" else "spec.template.spec.schedulingGates"
        gates = get(one.obj, *path.split("."))
        if isinstance(gates, list) and gates:
            names = ", ".join(str(get(gate, "name", default="")) for gate in gates)
            text = f"the pods wait until something removes their scheduling gates ({names}); nothing here does, so what becomes of them is not known"
            yield Note("KC316", "unknown", one.file, one.at(path), text, "leave the gates out of what you give to kchaos", one.id)


def _nowhere(manifests: Iterable[Manifest], booted: Boot) -> Iterator[Note]:
    """Say which DaemonSets run on no node: without a word of anybody, nothing comes of them."""
    stored = booted.image.store.tables.get("daemonsets", {})
    for one in manifests:
        daemon = stored.get(f"{get(one.obj, 'metadata', 'namespace', default='')}/{one.obj['metadata'].get('name')}")
        if one.obj["kind"] != "DaemonSet" or daemon is None or get(daemon, "status", "desiredNumberScheduled", default=0):
            continue
        spec = get(one.obj, "spec", "template", "spec", default={})
        labels = ", ".join(f"{key}: {value or chr(34) * 2}" for key, value in (spec.get("nodeSelector") or {}).items())
        path = "nodeSelector" if labels else "affinity" if spec.get("affinity") else "tolerations"
        asks = f" (nodeSelector {labels})" if labels else ""
        text = f"DaemonSet {one.obj['metadata'].get('name', '')} runs on no node: none has what it selects{asks} and only taints that it tolerates"
        hint = "give your nodes: --topology with the output of `kubectl get nodes -o yaml`"
        if "node-role.kubernetes.io/master" in labels:
            hint = "since Kubernetes 1.24 the label and the taint are node-role.kubernetes.io/control-plane: select and tolerate that"
        yield Note("KC322", "warning", one.file, one.at(f"spec.template.spec.{path}"), text, hint, one.id)


def unknown_workloads(settings: Settings, booted: Boot) -> Iterator[Note]:
    """Say which workloads of kchaos.yaml are not in the input: a typing error there would be silent."""
    known = {tuple(key.split("/")[-2:]) for key in booted.workloads}
    for key in settings.workloads:
        if tuple(key.split("/")[-2:]) not in known:
            near = difflib.get_close_matches(key, ["/".join(one) for one in sorted(known)], n=1)
            hint = f"did you mean {near[0]}?" if near else "write namespace/name of a workload in the input, or take it out"
            at = settings.at(f"workloads.{key}")
            text = f"kchaos.yaml names the workload {key}, which is not in the input"
            yield Note("KC315", "warning", at.file, at.line, text, hint, f"workload/{key}")


def unknown_namespaces(settings: Settings, objects: Iterable[Obj]) -> Iterator[Note]:
    """Say which calls of kchaos.yaml ask in namespaces that are not there: they would find nothing, whatever is allowed."""
    known = dict.fromkeys(SYSTEM_NAMESPACES)
    for obj in objects:
        known[obj["metadata"].get("name", "") if obj["kind"] == "Namespace" else obj["metadata"].get("namespace", "")] = None
    for place, own in settings.places():
        for index, call in enumerate(own.get("calls") or ()):
            space = call.get("namespace", "")
            if space in ("", ALL) or space in known:
                continue
            at = settings.at(f"{place}.calls[{index}].namespace")
            near = difflib.get_close_matches(space, [one for one in known if one], n=1)
            hint = f"did you mean {near[0]}?" if near else "give the Namespace too, or leave it out for the pod's own"
            text = f"kchaos.yaml lets pods ask in namespace {space}, in which nothing of the input is"
            yield Note("KC315", "warning", at.file, at.line, text, hint, f"calls/{space}")


def unfit_settings(settings: Settings, loaded: Loaded, seen: Iterable[str]) -> Iterator[Note]:
    """Say which quorums no workload can have, and which accepted objects there are not. ``seen``: objects of violations."""
    objects = {one.id: one.obj for one in loaded.manifests}
    for key, own in settings.workloads.items():
        quorum = own.get("quorum")
        for ident, obj in objects.items():
            if quorum is None or obj["kind"] not in _SCALED or ident.partition("/")[2] != key:
                continue
            count = get(obj, "spec", "replicas", default=1)
            if isinstance(count, int) and quorum > count:
                says = f"kchaos.yaml asks for a quorum of {quorum} of {key}, which has {count} replica{'s' if count != 1 else ''}: it can never serve"
                at, hint = settings.at(f"workloads.{key}.quorum"), f"write {count // 2 + 1}, or leave it out for more than half"
                yield Note("KC315", "warning", at.file, at.line, says, hint, f"quorum/{key}")
    known = [*objects, *(one.id for one in loaded.custom), *seen]
    names = {name for one in known for name in (one, one.partition("/")[2])}
    for index, accept in enumerate(settings.accept):
        if accept.object and accept.object not in names and accept.object.partition("/")[0] not in _MADE:
            near = difflib.get_close_matches(accept.object, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "write Kind/namespace/name of an object in the input, or take it out"
            says = f"kchaos.yaml accepts findings of {accept.object}, which is not in the input"
            at = settings.at(f"accept[{index}].object")
            yield Note("KC315", "warning", at.file, at.line, says, hint, f"accept/{accept.object}")


_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
_MADE = ("Node", "Pod", "PersistentVolume", "PersistentVolumeClaim", "Cluster", "Zone", "Namespace")
"""Kinds that a run makes by itself."""


def _selectors(
    manifests: Iterable[Manifest], templates: list[tuple[str, dict[str, str], str]], unseen: str, refused: set[str]
) -> Iterator[Note]:
    """Say which selectors match nothing. ``unseen``: who may have the pods; then nothing is held against the selector."""
    manifests = list(manifests)
    endpoints = {
        (get(m.obj, "metadata", "namespace", default=""), m.obj["metadata"].get("name")) for m in manifests if m.obj["kind"] == "Endpoints"
    }
    for one in manifests:
        kind, meta = one.obj["kind"], one.obj["metadata"]
        space = meta.get("namespace", "")
        if f"{kind}/{meta.get('name')}" in refused:
            continue
        if kind == "Service":
            selector = get(one.obj, "spec", "selector")
            if not selector or get(one.obj, "spec", "type") == "ExternalName" or (space, meta.get("name")) in endpoints:
                continue
            fits = from_map(selector)
        elif kind == "PodDisruptionBudget":
            selector = get(one.obj, "spec", "selector")
            if selector is None or not (selector.get("matchLabels") or selector.get("matchExpressions")):
                continue
            fits = compile_selector(selector)
        else:
            continue
        if any(space == where and fits(labels) for where, labels, _ in templates):
            continue
        line = one.at("spec.selector")
        what = f"{kind} {meta.get('name', '')} selects no pod of these files"
        elsewhere = next((f"{owner} in namespace {where or 'default'}" for where, labels, owner in templates if fits(labels)), "")
        near = _near(selector, space, templates) if kind == "Service" else ""
        if elsewhere:
            hint = f"{elsewhere} has such labels: put both in one namespace"
        else:
            hint = near or "check the labels of the pod template"
        if unseen and not near and not elsewhere:
            yield Note("KC311", "info", one.file, line, f"{what}: {unseen}", "", one.id)
        elif kind == "PodDisruptionBudget":
            yield Note("KC310", "warning", one.file, line, f"{what}: it protects nothing", hint, one.id)
        elif near or elsewhere:
            yield Note("KC310", "error", one.file, line, f"{what}: it never has an endpoint", hint, one.id)
        else:
            yield Note(
                "KC310", "warning", one.file, line, f"{what}: unless they come from elsewhere, it never has an endpoint", hint, one.id
            )


def _unread(loaded: Loaded) -> bool:
    """Tell whether something with pods may be among what could not be read."""
    return any(note.level == "error" and note.rule in ("KC301", "KC302", "KC303", "KC305", "KC308") for note in loaded.notes)


def _near(selector: dict[str, str], space: str, templates: list[tuple[str, dict[str, str], str]]) -> str:
    """Return how a workload's labels nearly match: all but one pair, and that one's key is there."""
    for where, labels, owner in templates:
        if where != space:
            continue
        off = [key for key, value in selector.items() if labels.get(key) != value]
        if len(off) == 1 and (len(selector) > 1 or _alike(selector[off[0]], labels.get(off[0], ""))):
            have = f"{off[0]}: {labels[off[0]]}" if off[0] in labels else f"no label {off[0]}"
            return f"{owner} has {have}, the selector asks for {off[0]}: {selector[off[0]]}"
    return ""


def _alike(one: str, other: str) -> bool:
    swapped = sorted(one) == sorted(other)  # two letters changed places
    return bool(one and other) and (swapped or difflib.SequenceMatcher(None, one, other).ratio() >= 0.75)


def not_modelled(loaded: Loaded, webhooks: Said = MappingProxyType({})) -> list[str]:
    """Return in words which kinds of the input do nothing here, and which webhooks are not asked."""
    counts: dict[str, int] = {}
    for one in loaded.manifests:
        counts[one.obj["kind"]] = counts.get(one.obj["kind"], 0) + 1
    out = [f"{kind} ({count}): {NOT_MODELLED[kind]}" for kind, count in sorted(counts.items()) if kind in NOT_MODELLED]
    out += not_asked(loaded, webhooks)
    for one in loaded.custom:
        if harmless(one.obj["apiVersion"], one.obj["kind"]):
            counts[f"*{one.obj['kind']}"] = counts.get(f"*{one.obj['kind']}", 0) + 1
    out += [f"{kind[1:]} ({count}): a custom resource that makes no pods" for kind, count in sorted(counts.items()) if kind.startswith("*")]
    return out
