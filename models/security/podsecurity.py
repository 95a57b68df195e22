"""Pod Security admission: a namespace's labels say which level its pods must meet (enforce), and of which they are only told.

Source: staging/src/k8s.io/pod-security-admission/admission/admission.go, api/helpers.go, policy/registry.go.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kchaos.models.api.errors import ApiError, forbidden
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, get
from kchaos.models.security.podchecks import BASELINE, RESTRICTED, Found
from kchaos.models.security.rbac import Tables

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
LATEST = 34
_VERSION = re.compile(r"v1\.(0|[1-9]\d*)")
_TEMPLATES = {
    "deployments": ("spec", "template"), "replicasets": ("spec", "template"), "daemonsets": ("spec", "template"),
    "statefulsets": ("spec", "template"), "jobs": ("spec", "template"), "replicationcontrollers": ("spec", "template"),
    "cronjobs": ("spec", "jobTemplate", "spec", "template"), "podtemplates": ("template",),
}  # fmt: skip


class Level(NamedTuple):
    """A level in one version's sense; printed as ``baseline:latest``."""

    name: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def minor(self) -> int:
        """Return the minor version that is meant."""
        return LATEST if self.version == "latest" else int(self.version.rpartition(".")[2])


def level_of(labels: Obj, mode: str) -> Level:
    """Return the level that a namespace's labels ask for; what can't be read counts as restricted, a bad version as the latest."""
    name, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version", "latest")
    if name is None:
        return Level()
    good = version == "latest" or _VERSION.fullmatch(version)
    return Level(name if name in LEVELS else "restricted", version if good else "latest")


def evaluate(pod: Obj, level: Level) -> list[tuple[str, str]]:
    """Return all (reason, detail) for which a pod misses a level, in the server's order."""
    if level.name == "privileged":
        return []
    minor = min(level.minor, LATEST)
    checks = [one for one in BASELINE if minor >= one.since]
    if level.name == "restricted":
        stricter = [one for one in RESTRICTED if minor >= one.since]
        replaced = {one.instead_of for one in stricter}
        checks = [*(one for one in checks if one.id not in replaced), *stricter]
    found: list[Found] = [one.run(pod, minor) for one in checks]
    return [one for one in found if one is not None]


def told(level: Level, found: list[tuple[str, str]]) -> str:
    """Return ``PodSecurity "restricted:latest": reason (detail), ...``."""
    return f'PodSecurity "{level}": ' + ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)


def _significant(new: Obj, old: Obj) -> bool:
    """Tell whether an update of a pod is looked at: what may change otherwise can't lower its security."""
    fields = ("containers", "initContainers", "ephemeralContainers", "securityContext")
    return any(new["spec"].get(field) != old["spec"].get(field) for field in fields)


def check(tables: Tables, resource: Resource, obj: Obj, old: Obj | None, namespace: str) -> list[str]:
    """Refuse a pod that misses the enforced level, and return the warnings for a pod or a workload. Raises 403."""
    space = tables("namespaces").get(namespace)
    labels = (space["metadata"].get("labels") or {}) if space is not None else {}
    if not any(key.startswith(PREFIX) for key in labels):
        return []
    if resource.plural == "pods":
        if old is not None and not _significant(obj, old):
            return []
        pod = obj
        enforced = level_of(labels, "enforce")
        if found := evaluate(pod, enforced):
            raise forbidden("", "pods", obj["metadata"].get("name", ""), f"violates {told(enforced, found)}")
        warn = level_of(labels, "warn")
    else:
        path = _TEMPLATES.get(resource.plural)
        template = get(obj, *path) if path is not None else None
        if not template or not template.get("spec"):
            return []
        pod = {"metadata": template.get("metadata") or {}, "spec": template["spec"]}
        warn = level_of(labels, "warn" if PREFIX + "warn" in labels else "enforce")
    found = evaluate(pod, warn)
    return [f"would violate {told(warn, found)}"] if found else []


def label_errors(labels: Obj) -> list[tuple[str, str, str]]:
    """Return (label, value, what is wrong) for levels and versions that nobody knows."""
    out = []
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            out.append((PREFIX + mode, level, "must be one of privileged, baseline, restricted"))
        if version is not None and version != "latest" and not _VERSION.fullmatch(version):
            out.append((f"{PREFIX}{mode}-version", version, 'must be "latest" or "v1.x"'))
    return out


def check_namespace(tables: Tables, obj: Obj, old: Obj | None) -> list[str]:
    """Refuse labels that can't be read, and return the warnings about pods that are there and miss a new level. Raises 422."""
    labels = obj["metadata"].get("labels") or {}
    name = obj["metadata"].get("name", "")
    wrong = label_errors(labels)
    before = (old["metadata"].get("labels") or {}) if old is not None else {}
    if wrong and (old is None or wrong != label_errors(before)):
        causes = [
            {"reason": "FieldValueInvalid", "message": f'Invalid value: "{value}": {why}', "field": f"metadata.labels[{key}]"}
            for key, value, why in wrong
        ]
        lines = [f"{one['field']}: {one['message']}" for one in causes]
        text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
        raise ApiError("Invalid", f'Namespace "{name}" is invalid: {text}', {"name": name, "kind": "Namespace", "causes": causes})
    new, was = level_of(labels, "enforce"), level_of(before, "enforce")
    if old is None or new == was or new.name == "privileged":
        return []
    missed: dict[str, list[str]] = {}
    for key, pod in sorted(tables("pods").items()):
        if key.startswith(name + "/") and (found := evaluate(pod, new)):
            missed.setdefault(", ".join(reason for reason, _ in found), []).append(pod["metadata"]["name"])
    lines = []
    for reasons, pods in missed.items():
        others = f" (and {len(pods) - 1} other pod{'s' if len(pods) > 2 else ''})" if len(pods) > 1 else ""
        lines.append(f"{pods[0]}{others}: {reasons}")
    return [f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{new}"', *sorted(lines)] if lines else []
