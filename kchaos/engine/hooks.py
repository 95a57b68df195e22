"""The webhooks that the files configure: which of them are asked, and what kchaos.yaml says of ones that are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kchaos.engine.booting import ANSWERING, CONFIGURATIONS
from kchaos.engine.settings import Settings
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Loaded, Manifest
from kchaos.models.manifests.notes import Note
from kchaos.models.security.webhooks import place_of
from kchaos.models.webhookbackends import backed

Said = Mapping[str, Mapping[str, Any]]
"""What kchaos.yaml says, by the name of a webhook or of its configuration."""


def _hooks(manifests: Iterable[Manifest]) -> Iterator[tuple[Manifest, int, Obj]]:
    for one in manifests:
        if one.obj["kind"] in CONFIGURATIONS:
            for index, hook in enumerate(one.obj.get("webhooks") or ()):
                yield one, index, hook


def _known(one: Manifest, hook: Obj, objects: Sequence[Obj], said: Said) -> bool:
    """Tell whether it is known what a webhook answers: kchaos.yaml says it, or pods of the files stand behind it."""
    if hook.get("name") in said or one.obj["metadata"].get("name") in said:
        return True
    place = place_of(hook)
    owners = [obj for obj in objects if obj["kind"] in ANSWERING]
    for service in objects:
        if service["kind"] == "Service" and f"{get(service, 'metadata', 'namespace')}/{get(service, 'metadata', 'name')}" == place:
            return backed(service, owners)
    return False


def unknown_answers(manifests: Sequence[Manifest], context: Sequence[Obj], said: Said) -> Iterator[Note]:
    """Yield a note for each configuration with a webhook that fails closed, may change the answer, and of which nothing is known."""
    objects = [*(one.obj for one in manifests), *context]
    told: dict[str, None] = {}
    for one, index, hook in _hooks(manifests):
        rules = [rule for rule in hook.get("rules") or () if _matters(rule)]
        if not rules or hook.get("failurePolicy", "Fail") != "Fail" or one.id in told or _known(one, hook, objects, said):
            continue
        told[one.id] = None
        name = hook.get("name", "")
        text = f"{one.obj['kind']} {one.obj['metadata'].get('name', '')}: webhook {name} may refuse or change workloads, and fails closed"
        hint = f"say in kchaos.yaml what it answers: `webhooks: {{{name}: {{answers: allow}}}}`; kchaos runs as if it allowed everything"
        yield Note("KC311", "unknown", one.file, one.at(f"webhooks[{index}]"), text, hint, one.id)


def _matters(rule: Obj) -> bool:
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    core = any(g in ("", "*", "apps", "batch") for g in groups)
    return core and any(
        r.partition("/")[0] in ("*", "pods", "deployments", "statefulsets", "replicasets", "daemonsets", "jobs") for r in resources
    )


def not_asked(loaded: Loaded, said: Said) -> Iterator[str]:
    """Return in words which webhooks are not asked."""
    objects = [one.obj for one in loaded.manifests]
    for kind in CONFIGURATIONS:
        names = [
            hook.get("name", "")
            for one, _, hook in _hooks(loaded.manifests)
            if one.obj["kind"] == kind and not _known(one, hook, objects, said)
        ]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{kind}: webhooks {', '.join(names[:3])}{more} are not asked, for nobody in these files answers them"


def unfit_answers(settings: Settings, manifests: Sequence[Manifest]) -> Iterator[Note]:
    """Say which webhooks of kchaos.yaml are not in the input, or can't be what it says."""
    mutating: dict[str, bool] = {}
    for one, _, hook in _hooks(manifests):
        for name in (hook.get("name", ""), one.obj["metadata"].get("name", "")):
            mutating[name] = mutating.get(name, False) or one.obj["kind"] == "MutatingWebhookConfiguration"
    workloads = [one.id for one in manifests if one.obj["kind"] in ANSWERING]

    def note(name: str, field: str, says: str, hint: str) -> Note:
        at = settings.at(f'webhooks["{name}"]{field and "." + field}')
        return Note("KC315", "warning", at.file, at.line, says, hint, f"webhook/{name}" + ("/down_with" if field == "down_with" else ""))

    for name, own in settings.webhooks.items():
        if name not in mutating:
            near = difflib.get_close_matches(name, mutating, n=1)
            hint = f"did you mean {near[0]}?" if near else "write the name of a webhook or of its configuration, or take it out"
            yield note(name, "", f"kchaos.yaml names the webhook {name}, which is not in the input", hint)
        elif own.get("patch") and not mutating[name]:
            yield note(
                name,
                "patch",
                f"kchaos.yaml gives the webhook {name} a patch, but a validating webhook changes nothing",
                "take the patch out",
            )
        backing = own.get("down_with", "")
        if backing and backing not in workloads:
            near = difflib.get_close_matches(backing, workloads, n=1)
            hint = f"did you mean {near[0]}?" if near else "write Kind/namespace/name of a workload in the input"
            says = f"kchaos.yaml lets the webhook {name} be answered by {backing}, which is not in the input: it is never answered"
            yield note(name, "down_with", says, hint)
