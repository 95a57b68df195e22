"""What the API server fills into pods, pod templates and volumes.

Sources: pkg/apis/core/v1/defaults.go, zz_generated.defaults.go and conversion.go of Kubernetes 1.34.
Input is in written form (``wire.normalise``): a member that is missing is unset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.quantity import add, compare
from kchaos.models.api.tree import Obj

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_RBD = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_AZURE = {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"}
_SCALEIO = {"storageMode": "ThinProvisioned", "fsType": "xfs"}
_MODE: Obj = {"defaultMode": 420}
_PROBE: Obj = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_HTTP: Obj = {"path": "/", "scheme": "HTTP"}
_POD_SPEC: Obj = {
    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
    "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
}  # fmt: skip


def fill(part: Obj, defaults: Obj) -> Obj:
    """Return ``part`` with the members of ``defaults`` that it lacks; ``part`` itself if it lacks none."""
    for key in defaults:
        if key not in part:
            return {**defaults, **part}
    return part


def each(parts: list[Obj], change: Callable[[Obj], Obj]) -> list[Obj]:
    """Return ``parts`` with ``change`` applied to each; the same list if nothing changes."""
    out = None
    for index, part in enumerate(parts):
        new = change(part)
        if new is not part:
            if out is None:
                out = list(parts)
            out[index] = new
    return parts if out is None else out


def within(part: Obj, key: str, change: Callable[[Any], Any]) -> Obj:
    """Return ``part`` with ``change`` applied to the member ``key``, if there is one."""
    old = part.get(key)
    if old is None:
        return part
    new = change(old)
    return part if new is old else {**part, key: new}


def tag_of(image: str) -> str:
    """Return the tag of an image: ``latest`` without tag and digest, "" with only a digest (pkg/util/parsers)."""
    name, _, digest = image.partition("@")
    tail = name.rsplit("/", 1)[-1]
    if ":" in tail:
        return tail.rsplit(":", 1)[1]
    return "" if digest else "latest"


def _pull_policy(image: str) -> str:
    return "Always" if tag_of(image) == "latest" else "IfNotPresent"


def field_ref(part: Obj) -> Obj:
    """Fill ``fieldRef.apiVersion`` of an item that may have one."""
    return within(part, "fieldRef", lambda ref: fill(ref, {"apiVersion": "v1"}))


def _env(var: Obj) -> Obj:
    source = var.get("valueFrom")
    if not source:
        return var
    new = field_ref(source)
    new = within(new, "fileKeyRef", lambda ref: fill(ref, {"optional": False}))
    return var if new is source else {**var, "valueFrom": new}


def _http(action: Obj) -> Obj:
    return fill(action, _HTTP)


def _probe(probe: Obj) -> Obj:
    out = fill(probe, _PROBE)
    if "httpGet" in out:
        out = within(out, "httpGet", _http)
    elif "grpc" in out:
        out = within(out, "grpc", lambda grpc: fill(grpc, {"service": ""}))
    return out


def _hook(handler: Obj) -> Obj:
    return within(handler, "httpGet", _http)


def _lifecycle(lifecycle: Obj) -> Obj:
    return within(within(lifecycle, "postStart", _hook), "preStop", _hook)


def _port(port: Obj) -> Obj:
    return port if "protocol" in port else {**port, "protocol": "TCP"}


def container(one: Obj) -> Obj:
    """Return one container with its defaults."""
    out: Obj | None = None
    if "imagePullPolicy" not in one:
        out = {**one, "imagePullPolicy": _pull_policy(one.get("image", ""))}
    if "terminationMessagePath" not in one or "terminationMessagePolicy" not in one:
        out = dict(one) if out is None else out
        out.setdefault("terminationMessagePath", "/dev/termination-log")
        out.setdefault("terminationMessagePolicy", "File")
    now = one if out is None else out
    if "ports" in now:
        now = within(now, "ports", lambda ports: each(ports, _port))
    if "env" in now:
        now = within(now, "env", lambda env: each(env, _env))
    for key in _PROBES:
        if key in now:
            now = within(now, key, _probe)
    if "lifecycle" in now:
        now = within(now, "lifecycle", _lifecycle)
    return now


def claim_spec(spec: Obj) -> Obj:
    """Fill PersistentVolumeClaimSpec."""
    return fill(spec, {"volumeMode": "Filesystem"})


def _projection(source: Obj) -> Obj:
    out = within(source, "downwardAPI", lambda api: within(api, "items", lambda items: each(items, field_ref)))
    return within(out, "serviceAccountToken", lambda token: fill(token, {"expirationSeconds": 3600}))


def _projected(volume: Obj) -> Obj:
    return within(fill(volume, _MODE), "sources", lambda sources: each(sources, _projection))


def _downward(volume: Obj) -> Obj:
    return within(fill(volume, _MODE), "items", lambda items: each(items, field_ref))


def _ephemeral(volume: Obj) -> Obj:
    return within(volume, "volumeClaimTemplate", lambda claim: within(claim, "spec", claim_spec))


_SOURCES: dict[str, Callable[[Obj], Obj]] = {
    "hostPath": lambda source: fill(source, {"type": ""}),
    "secret": lambda source: fill(source, _MODE),
    "configMap": lambda source: fill(source, _MODE),
    "downwardAPI": _downward,
    "projected": _projected,
    "iscsi": lambda source: fill(source, {"iscsiInterface": "default"}),
    "rbd": lambda source: fill(source, _RBD),
    "azureDisk": lambda source: fill(source, _AZURE),
    "scaleIO": lambda source: fill(source, _SCALEIO),
    "ephemeral": _ephemeral,
    "image": lambda source: fill(source, {"pullPolicy": _pull_policy(source.get("reference", ""))}),
}


def volume(one: Obj) -> Obj:
    """Return one volume with the defaults of its source; without a source it is an emptyDir."""
    if len(one) < 2:
        return {**one, "emptyDir": {}}
    return volume_source(one)


def volume_source(one: Obj) -> Obj:
    """Return ``one`` with the defaults of whichever volume source it has."""
    out = one
    for key in one:
        change = _SOURCES.get(key)
        if change is not None:
            out = within(out, key, change)
    return out


def _host_ports(one: Obj) -> Obj:
    return within(
        one,
        "ports",
        lambda ports: each(ports, lambda p: p if "hostPort" in p else {**p, "hostPort": p.get("containerPort", 0)}),
    )


def _no_restart_policy(one: Obj) -> Obj:
    """Drop what the ContainerRestartRules gate (off in 1.34) hides (pkg/api/pod/util.go: dropDisabledFields)."""
    return {key: value for key, value in one.items() if key != "restartPolicy"} if "restartPolicy" in one else one


def pod_spec(spec: Obj) -> Obj:
    """Return a PodSpec with what pods and templates share."""
    out = fill(spec, _POD_SPEC)
    account = out.get("serviceAccountName") or out.get("serviceAccount")
    if account and (out.get("serviceAccountName") != account or out.get("serviceAccount") != account):
        out = {**out, "serviceAccountName": account, "serviceAccount": account}
    for key in ("containers", "initContainers", "ephemeralContainers"):
        if out.get(key):
            out = within(out, key, lambda parts: each(parts, container))
    if any("restartPolicy" in one for one in out.get("containers") or ()):
        out = within(out, "containers", lambda parts: each(parts, _no_restart_policy))
    if "volumes" in out:
        out = within(out, "volumes", lambda parts: each(parts, volume))
    return out


def template(obj: Obj) -> Obj:
    """Return a PodTemplateSpec with the defaults of its spec."""
    return within(obj, "spec", pod_spec)


def _requests(one: Obj) -> Obj:
    resources = one.get("resources")
    if not resources or not resources.get("limits"):
        return one
    requests = fill(resources.get("requests") or {}, resources["limits"])
    if requests is resources.get("requests"):
        return one
    return {**one, "resources": {**resources, "requests": requests}}


_POD_LEVEL = ("cpu", "memory")


def _sum_of(spec: Obj, which: str) -> Obj:
    """Return what the containers ask for together: the sum of those that run at once, or the largest init step."""
    total: Obj = {}
    sidecars: Obj = {}
    largest: Obj = {}
    for one in spec.get("initContainers") or ():
        asked = (one.get("resources") or {}).get(which) or {}
        if one.get("restartPolicy") == "Always":
            for key, amount in asked.items():
                total[key] = add(total.get(key, "0"), amount)
                sidecars[key] = add(sidecars.get(key, "0"), amount)
            asked = sidecars
        else:
            asked = {**sidecars, **{key: add(sidecars.get(key, "0"), amount) for key, amount in asked.items()}}
        for key, amount in asked.items():
            if key not in largest or compare(amount, largest[key]) > 0:
                largest[key] = amount
    for one in spec.get("containers") or ():
        for key, amount in ((one.get("resources") or {}).get(which) or {}).items():
            total[key] = add(total[key], amount) if key in total else amount
    for key, amount in largest.items():
        if key not in total or compare(amount, total[key]) > 0:
            total[key] = amount
    return total


def _pod_resources(spec: Obj) -> Obj:
    """Fill pod-level requests and limits (KEP-2837)."""
    resources: Obj = spec["resources"]
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if not limits and not requests:
        return spec
    for key, amount in _sum_of(spec, "limits").items():
        if key.startswith("hugepages-") and key not in requests:
            limits.setdefault(key, amount)
    if limits:
        for key, amount in _sum_of(spec, "requests").items():
            if key in _POD_LEVEL:
                requests.setdefault(key, amount)
        for key, amount in limits.items():
            if key in _POD_LEVEL or key.startswith("hugepages-"):
                requests.setdefault(key, amount)
    new = {**resources, **({"limits": limits} if limits else {}), **({"requests": requests} if requests else {})}
    return spec if new == resources else {**spec, "resources": new}


def pod(obj: Obj) -> Obj:
    """Return a Pod with its defaults: those of its spec, requests from limits, service links."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    out = spec
    for key in ("containers", "initContainers"):
        if out.get(key):
            out = within(out, key, lambda parts: each(parts, _requests))
    if out.get("resources"):
        out = _pod_resources(out)
    if "enableServiceLinks" not in out:
        out = {**out, "enableServiceLinks": True}
    if out.get("hostNetwork"):
        for key in ("containers", "initContainers"):
            out = within(out, key, lambda parts: each(parts, _host_ports))
    out = pod_spec(out)
    return obj if out is spec else {**obj, "spec": out}
