"""Defaults of pods and pod templates (pkg/apis/core/v1/defaults.go); pod specs that were seen before are not looked into again."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.quantity import canonical_text
from kchaos.models.api.tree import Obj


def _fill(tree: Obj, **defaults: Any) -> Obj:
    missing = {key: value for key, value in defaults.items() if tree.get(key) is None}
    return {**tree, **missing} if missing else tree


def default_template(template: Obj) -> Obj:
    """Return a PodTemplateSpec with defaults."""
    spec = template.get("spec")
    if spec is None:
        return template
    new = default_pod_spec(spec)
    if "metadata" not in template:
        template = {**template, "metadata": {}}
    return template if new is spec else {**template, "spec": new}


def default_pod_spec(spec: Obj) -> Obj:
    """Return a PodSpec with defaults (enableServiceLinks is a pod's own, not a template's)."""
    out = _fill(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        securityContext={},
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
    )
    host = bool(spec.get("hostNetwork"))
    for key in ("containers", "initContainers"):
        old = spec.get(key)
        if old:
            new = [_container(one, host) for one in old]
            if any(a is not b for a, b in zip(new, old, strict=True)):
                out = {**out, key: new}
    if spec.get("volumes"):
        volumes = [_volume(one) for one in spec["volumes"]]
        if any(a is not b for a, b in zip(volumes, spec["volumes"], strict=True)):
            out = {**out, "volumes": volumes}
    name = out.get("serviceAccountName")
    if name and out.get("serviceAccount") != name:
        out = {**out, "serviceAccount": name}
    elif out.get("serviceAccount") and not name:
        out = {**out, "serviceAccountName": out["serviceAccount"]}
    if out.get("topologySpreadConstraints"):
        old = out["topologySpreadConstraints"]
        spread = [_fill(one, whenUnsatisfiable="DoNotSchedule") for one in old]
        if any(a is not b for a, b in zip(spread, old, strict=True)):
            out = {**out, "topologySpreadConstraints": spread}
    return out


def _pull_policy(image: str) -> str:
    tail = image.rpartition("/")[2]
    if "@" in tail:
        return "IfNotPresent"
    _, colon, tag = tail.partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _container(container: Obj, host_network: bool) -> Obj:
    out = _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image") or ""),
    )
    resources = out["resources"]
    new = _resources(resources)
    if new is not resources:
        out = {**out, "resources": new}
    if container.get("ports"):
        ports = []
        for port in container["ports"]:
            port = _fill(port, protocol="TCP")
            if host_network and not port.get("hostPort"):
                port = {**port, "hostPort": port.get("containerPort")}
            ports.append(port)
        if any(a is not b for a, b in zip(ports, container["ports"], strict=True)):
            out = {**out, "ports": ports}
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(key)
        if probe:
            filled = _probe(probe)
            if filled is not probe:
                out = {**out, key: filled}
    hooks = container.get("lifecycle")
    if hooks:
        filled = hooks
        for key in ("postStart", "preStop"):
            if hooks.get(key):
                handler = _handler(hooks[key])
                if handler is not hooks[key]:
                    filled = {**filled, key: handler}
        if filled is not hooks:
            out = {**out, "lifecycle": filled}
    if any("valueFrom" in one for one in container.get("env") or ()):
        env = [_env(one) for one in container["env"]]
        if any(a is not b for a, b in zip(env, container["env"], strict=True)):
            out = {**out, "env": env}
    return out


def _env(one: Obj) -> Obj:
    ref = (one.get("valueFrom") or {}).get("fieldRef")
    if ref is None or ref.get("apiVersion"):
        return one
    return {**one, "valueFrom": {**one["valueFrom"], "fieldRef": {**ref, "apiVersion": "v1"}}}


def _resources(resources: Obj) -> Obj:
    """Canonical quantities; limits stand in for requests that are missing."""
    out = resources
    for key in ("limits", "requests"):
        amounts = resources.get(key)
        if amounts:
            texts = {name: canonical_text(amount) for name, amount in amounts.items()}
            if texts != amounts:
                out = {**out, key: texts}
    limits = out.get("limits")
    if limits:
        requests = out.get("requests") or {}
        missing = {name: amount for name, amount in limits.items() if name not in requests}
        if missing:
            out = {**out, "requests": {**requests, **missing}}
    return out


def _probe(probe: Obj) -> Obj:
    out = _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    for key in ("timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if out[key] == 0:
            out = {**out, key: {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}[key]}
    handler = _handler(out)
    if handler.get("grpc") is not None and handler["grpc"].get("service") is None:
        handler = {**handler, "grpc": {**handler["grpc"], "service": ""}}
    return handler


def _handler(handler: Obj) -> Obj:
    get = handler.get("httpGet")
    if get is None:
        return handler
    filled = _fill(get, path="/", scheme="HTTP")
    if not filled["path"]:
        filled = {**filled, "path": "/"}
    return handler if filled is get else {**handler, "httpGet": filled}


_MODES = {"secret": 420, "configMap": 420, "downwardAPI": 420, "projected": 420}


def _volume(volume: Obj) -> Obj:
    sources = [key for key in volume if key != "name" and volume[key] is not None]
    if not sources:
        return {"name": volume.get("name"), "emptyDir": {}}
    out = volume
    for key, mode in _MODES.items():
        source = volume.get(key)
        if source is not None and source.get("defaultMode") is None:
            out = {**out, key: {**source, "defaultMode": mode}}
    if volume.get("hostPath") is not None and volume["hostPath"].get("type") is None:
        out = {**out, "hostPath": {**volume["hostPath"], "type": ""}}
    empty = volume.get("emptyDir")
    if empty and empty.get("sizeLimit") is not None:
        text = canonical_text(empty["sizeLimit"])
        if text != empty["sizeLimit"]:
            out = {**out, "emptyDir": {**empty, "sizeLimit": text}}
    for key in ("projected", "downwardAPI"):
        source = out.get(key)
        if source is not None:
            new = _refs(source, key)
            if new is not source:
                out = {**out, key: new}
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim and claim.get("spec") and claim["spec"].get("volumeMode") is None:
        spec = {**claim["spec"], "volumeMode": "Filesystem"}
        out = {**out, "ephemeral": {**volume["ephemeral"], "volumeClaimTemplate": {**claim, "spec": spec}}}
    return out


def _refs(source: Obj, key: str) -> Obj:
    """Downward API references name apiVersion v1; projected tokens expire after an hour."""

    def item(one: Obj) -> Obj:
        ref = one.get("fieldRef")
        return {**one, "fieldRef": {**ref, "apiVersion": "v1"}} if ref and not ref.get("apiVersion") else one

    if key == "downwardAPI":
        items = [item(one) for one in source.get("items") or ()]
        return {**source, "items": items} if items != (source.get("items") or []) else source
    projections = []
    for one in source.get("sources") or ():
        token = one.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            one = {**one, "serviceAccountToken": {**token, "expirationSeconds": 3600}}
        if one.get("downwardAPI"):
            one = {**one, "downwardAPI": _refs(one["downwardAPI"], "downwardAPI")}
        projections.append(one)
    return {**source, "sources": projections} if projections != (source.get("sources") or []) else source
