"""The pod and the claims of one ordinal (pkg/controller/statefulset/stateful_set_utils.go). Pure."""

from __future__ import annotations

from kchaos.models.api.pods import labels, name, namespace, owner_reference, uid
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.history import LABEL

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def claim_names(owner: Obj, pod_name: str) -> dict[str, str]:
    """Return volume name -> claim name of a pod."""
    return {c["metadata"]["name"]: f"{c['metadata']['name']}-{pod_name}" for c in owner["spec"].get("volumeClaimTemplates") or ()}


def new_pod(owner: Obj, revision: Obj, ordinal: int) -> Obj:
    """Return the pod of ``ordinal`` from a ControllerRevision's template."""
    template = revision["data"]["spec"]["template"]
    pod_name = f"{name(owner)}-{ordinal}"
    meta = template.get("metadata") or {}
    marks = {**(meta.get("labels") or {}), LABEL: name(revision), POD_INDEX: str(ordinal), POD_NAME: pod_name}
    claims = claim_names(owner, pod_name)
    volumes = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]
    volumes += [one for one in template["spec"].get("volumes") or () if one["name"] not in claims]
    spec = {**template["spec"], "hostname": pod_name}
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    if volumes:
        spec["volumes"] = volumes
    out: Obj = {
        "name": pod_name, "generateName": f"{name(owner)}-", "namespace": namespace(owner), "labels": marks,
        "ownerReferences": [owner_reference(owner)],
    }  # fmt: skip
    for key in ("annotations", "finalizers"):
        if meta.get(key):
            out[key] = meta[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": out, "spec": spec}


def new_claims(owner: Obj, pod_name: str) -> list[Obj]:
    """Return the claims that a pod needs."""
    selector = get(owner, "spec", "selector", "matchLabels", default={})
    out = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        meta = template["metadata"]
        marks = {**(meta.get("labels") or {}), **selector}
        body: Obj = {"name": f"{meta['name']}-{pod_name}", "namespace": namespace(owner), "labels": marks}
        if meta.get("annotations"):
            body["annotations"] = meta["annotations"]
        out.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": body, "spec": template["spec"]})
    return out


def identity_matches(owner: Obj, pod: Obj) -> bool:
    """Tell whether a pod carries its identity labels and claims."""
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["spec"].get("volumes") or () if "persistentVolumeClaim" in v}
    wanted = claim_names(owner, name(pod))
    return labels(pod).get(POD_NAME) == name(pod) and all(claims.get(k) == v for k, v in wanted.items())


def with_identity(owner: Obj, pod: Obj) -> Obj:
    """Return the pod with its identity labels."""
    marks = {**labels(pod), POD_NAME: name(pod), POD_INDEX: name(pod).rpartition("-")[2]}
    return {**pod, "metadata": {**pod["metadata"], "labels": marks}}


def retained_refs(owner: Obj, pod: Obj | None, claim: Obj, condemned: bool) -> list[Obj]:
    """Return the owner references that the retention policy asks of a claim (KEP-1847): the set's, the pod's, or none."""
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    ours = {uid(owner), *((uid(pod),) if pod is not None else ())}
    refs = [
        ref for ref in claim["metadata"].get("ownerReferences") or ()
        if ref["uid"] not in ours and not (ref["kind"] == "Pod" and ref["name"] == (name(pod) if pod is not None else ""))
    ]  # fmt: skip
    if policy.get("whenScaled") == "Delete" and condemned and pod is not None:
        refs.append(owner_reference(pod))
    elif policy.get("whenDeleted") == "Delete":
        refs.append(owner_reference(owner))
    return refs
