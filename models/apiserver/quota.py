"""ResourceQuota at admission: charge a new object to every matching quota, or refuse it.

Sources: staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota, pkg/quota/v1/evaluator/core.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kchaos.models.api.errors import forbidden
from kchaos.models.api.quantity import canonical, milli
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, put

if TYPE_CHECKING:
    from kchaos.models.apiserver.store import Store

COMPUTE = ("cpu", "memory", "ephemeral-storage")


def pod_resources(spec: Obj, side: str) -> dict[str, int]:
    """Return what a pod requests or limits (``side``) in milli units: the sum of containers, or the largest init container."""
    total: dict[str, int] = {}
    for container in spec.get("containers", ()):
        for name, amount in ((container.get("resources") or {}).get(side) or {}).items():
            total[name] = total.get(name, 0) + milli(amount)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        amounts = {n: milli(a) for n, a in ((container.get("resources") or {}).get(side) or {}).items()}
        if container.get("restartPolicy") == "Always":
            for name, amount in amounts.items():
                sidecars[name] = sidecars.get(name, 0) + amount
            amounts = sidecars
        else:
            amounts = {n: a + sidecars.get(n, 0) for n, a in amounts.items()}
        for name, amount in amounts.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in sidecars.items():
        total[name] = total.get(name, 0) + amount
    return {name: max(total.get(name, 0), peak.get(name, 0)) for name in {**total, **peak}}


def counts_for_quota(pod: Obj) -> bool:
    """Tell whether a pod is charged: ended pods are not, nor those past their grace (QuotaV1Pod)."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def usage_of(resource: Resource, obj: Obj) -> dict[str, int]:
    """Return what one object uses, by quota resource name, in milli units."""
    plural = resource.plural
    used = {f"count/{plural}.{resource.group}" if resource.group else f"count/{plural}": 1000}
    if plural == "pods":
        if not counts_for_quota(obj):
            return {"count/pods": 1000}
        used["pods"] = 1000
        spec = obj["spec"]
        for name, amount in pod_resources(spec, "requests").items():
            used[f"requests.{name}"] = amount
            if name in COMPUTE:
                used[name] = amount
        for name, amount in pod_resources(spec, "limits").items():
            used[f"limits.{name}"] = amount
    elif plural in ("services", "secrets", "configmaps", "replicationcontrollers", "resourcequotas"):
        used[plural] = 1000
        if plural == "services":
            kind = (obj.get("spec") or {}).get("type", "ClusterIP")
            ports = len((obj.get("spec") or {}).get("ports") or ())
            if kind in ("NodePort", "LoadBalancer"):
                used["services.nodeports"] = 1000 * ports
            if kind == "LoadBalancer":
                used["services.loadbalancers"] = 1000
    elif plural == "persistentvolumeclaims":
        used[plural] = 1000
        asked = ((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", 0)
        used["requests.storage"] = milli(asked)
        class_name = obj["spec"].get("storageClassName")
        if class_name:
            prefix = f"{class_name}.storageclass.storage.k8s.io/"
            used[f"{prefix}requests.storage"] = milli(asked)
            used[f"{prefix}persistentvolumeclaims"] = 1000
    return used


def matches_scopes(quota: Obj, resource: Resource, obj: Obj) -> bool:
    """Tell whether a quota's scopes select ``obj``; scopes select pods only."""
    spec = quota["spec"]
    selector = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    scopes: list[tuple[str, str, list[str]]] = [(scope, "Exists", []) for scope in spec.get("scopes") or ()]
    scopes += [(one["scopeName"], one.get("operator", "Exists"), one.get("values") or []) for one in selector]
    if not scopes:
        return True
    if resource.plural != "pods":
        return False
    pod = obj["spec"]
    requests = pod_resources(pod, "requests")
    limits = pod_resources(pod, "limits")
    best_effort = not any({**requests, **limits}.get(name) for name in ("cpu", "memory"))
    for scope, operator, values in scopes:
        if scope == "BestEffort":
            ok = best_effort
        elif scope == "NotBestEffort":
            ok = not best_effort
        elif scope == "Terminating":
            ok = pod.get("activeDeadlineSeconds") is not None
        elif scope == "NotTerminating":
            ok = pod.get("activeDeadlineSeconds") is None
        elif scope == "PriorityClass":
            name = pod.get("priorityClassName") or ""
            ok = {
                "Exists": bool(name), "DoesNotExist": not name, "In": name in values, "NotIn": bool(name) and name not in values
            }[operator]  # fmt: skip
        else:
            ok = False
        if not ok:
            return False
    return True


def _list(amounts: Iterable[tuple[str, object]]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in sorted(amounts))


def check_quota(store: Store, request: Request, resource: Resource, obj: Obj) -> None:
    """Charge ``obj`` to each matching quota of its namespace. Raises 403 in the real server's words."""
    prefix = request.namespace + "/"
    quotas = [q for key, q in sorted(store.table("resourcequotas").items()) if key.startswith(prefix)]
    if not quotas:
        return
    used = usage_of(resource, obj)
    charged: list[Obj] = []
    for quota in quotas:
        hard = (quota.get("status") or {}).get("hard") or quota["spec"].get("hard") or {}
        mine = {name: amount for name, amount in used.items() if name in hard}
        if resource.plural == "pods" and matches_scopes(quota, resource, obj):
            wanted = [n for n in hard if n in COMPUTE or n.startswith(("requests.", "limits."))]
            missing = sorted(n for n in wanted if n not in used and (n in COMPUTE or n.split(".", 1)[1] in COMPUTE))
            if missing:
                text = f"failed quota: {quota['metadata']['name']}: must specify {_missing(obj, missing)}"
                raise forbidden(resource.group, resource.plural, obj["metadata"].get("name", ""), text)
        if not mine or not matches_scopes(quota, resource, obj):
            continue
        before = (quota.get("status") or {}).get("used") or {}
        after = {name: milli(before.get(name, 0)) + amount for name, amount in mine.items()}
        over = {name: amount for name, amount in mine.items() if after[name] > milli(hard[name])}
        if over:
            text = (
                f"exceeded quota: {quota['metadata']['name']}, "
                f"requested: {_list((n, canonical(a)) for n, a in over.items())}, "
                f"used: {_list((n, before.get(n, '0')) for n in over)}, limited: {_list((n, hard[n]) for n in over)}"
            )
            raise forbidden(resource.group, resource.plural, obj["metadata"].get("name", ""), text)
        charged.append(put(quota, {**before, **{n: canonical(a) for n, a in after.items()}}, "status", "used"))
    if request.options.get("dry_run"):
        return
    for quota in charged:
        store.put("resourcequotas", f"{request.namespace}/{quota['metadata']['name']}", quota, "kube-apiserver")


def _missing(pod: Obj, names: list[str]) -> str:
    containers = sorted(one["name"] for one in pod["spec"].get("containers", ()))
    return "; ".join(f"{name} for: {','.join(containers)}" for name in names)


__all__ = ["check_quota", "counts_for_quota", "matches_scopes", "pod_resources", "usage_of"]
