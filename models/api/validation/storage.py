"""Claims, volumes and classes (pkg/apis/core/validation/validation.go, pkg/apis/storage/validation/validation.go)."""

from __future__ import annotations

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.validation.field import Errors, forbidden, invalid, required, unsupported
from kchaos.models.api.validation.names import check_selector, dns_subdomain, each_message, qualified_name, unchanged
from kchaos.models.api.validation.placement import check_node_selector

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_PV_FIELDS = frozenset(
    [
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    ]
)
_CLAIM = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"


def _access_modes(errors: Errors, spec: Obj, path: str) -> None:
    modes = spec.get("accessModes") or []
    for mode in modes:
        if mode not in _MODES:
            errors.append(unsupported(f"{path}.accessModes", mode, _MODES))
    known = [mode for mode in modes if mode in _MODES]
    if "ReadWriteOncePod" in known and any(mode != "ReadWriteOncePod" for mode in known):
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(f"{path}.accessModes", text))


def _source(errors: Errors, source: Obj, path: str) -> None:
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    if not source.get("name"):
        errors.append(required(f"{path}.name"))
    if not kind:
        errors.append(required(f"{path}.kind"))
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(path, kind, text))
    if group:
        each_message(errors, f"{path}.apiGroup", group, dns_subdomain(group))


def check_claim_spec(errors: Errors, spec: Obj, path: str) -> None:
    """Add what is wrong with a PersistentVolumeClaimSpec."""
    if not spec.get("accessModes"):
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    check_selector(errors, spec.get("selector"), f"{path}.selector")
    _access_modes(errors, spec, path)
    size, where = get(spec, "resources", "requests", "storage"), f"{path}.resources[storage]"
    if size is None:
        errors.append(required(where))
    elif exact(size) <= 0:
        errors.append(invalid(where, str(size), "must be greater than zero"))
    if spec.get("storageClassName"):
        each_message(errors, f"{path}.storageClassName", spec["storageClassName"], dns_subdomain(spec["storageClassName"]))
    if spec.get("volumeMode", "Filesystem") not in _VOLUME_MODES:
        errors.append(unsupported(f"{path}.volumeMode", spec["volumeMode"], _VOLUME_MODES))
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        _source(errors, source, f"{path}.dataSource")
    if ref is not None:
        _source(errors, ref, f"{path}.dataSourceRef")


def check_claim(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a PersistentVolumeClaim."""
    check_claim_spec(errors, obj.get("spec") or {}, "spec")


def check_claim_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a claim has changed that may not (ValidatePersistentVolumeClaimUpdate)."""
    spec, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    size, was = get(spec, "resources", "requests", "storage"), get(before, "resources", "requests", "storage")
    bound = get(new, "status", "phase") == "Bound"
    kept = []
    if not before.get("volumeName"):
        kept.append("volumeName")
    if before.get("storageClassName") is None and spec.get("storageClassName") is not None:
        kept.append("storageClassName")
    if bound:
        kept.append("volumeAttributesClassName")
        if size is not None:
            requests = {**spec["resources"]["requests"], "storage": was}
            spec["resources"] = {**spec["resources"], "requests": requests}
    for key in kept:
        spec.pop(key, None)
        before.pop(key, None)
    if spec != before:
        errors.append(forbidden("spec", _CLAIM))
    if size is not None and was is not None and exact(size) < exact(was):
        capacity = get(old, "status", "capacity", "storage", default="0")
        if exact(size) <= exact(capacity):
            path = "spec.resources.requests.storage"
            errors.append(forbidden(path, "field can not be less than status.capacity"))
    unchanged(errors, get(new, "spec", "volumeMode"), get(old, "spec", "volumeMode"), "volumeMode")


def _pv_source(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key not in _PV_FIELDS}


def check_volume(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a PersistentVolume."""
    from kchaos.models.api.validation.volumes import no_backsteps

    spec, path = obj.get("spec") or {}, "spec"
    if not spec.get("accessModes"):
        errors.append(required(f"{path}.accessModes"))
    _access_modes(errors, spec, path)
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(required(f"{path}.capacity"))
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(unsupported(f"{path}.capacity", spec.get("capacity"), ("storage",)))
    for name, amount in capacity.items():
        if exact(amount) < 0:
            errors.append(invalid(f"{path}.capacity[{name}]", str(amount), "must be a valid resource quantity"))
        elif name == "storage" and exact(amount) <= 0:
            errors.append(invalid(f"{path}.capacity[{name}]", str(amount), "must be greater than zero"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in ("Delete", "Recycle", "Retain"):
        where = f"{path}.persistentVolumeReclaimPolicy"
        errors.append(unsupported(where, policy, ("Delete", "Recycle", "Retain")))
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            errors.append(required(f"{path}.nodeAffinity.required", "must specify required node constraints"))
        else:
            check_node_selector(errors, affinity["required"], f"{path}.nodeAffinity.required")
    sources = list(_pv_source(spec))
    if not sources:
        errors.append(required(path, "must specify a volume type"))
    for extra in sources[1:]:
        errors.append(forbidden(f"{path}.{extra}", "may not specify more than 1 volume type"))
    host = spec.get("hostPath")
    if host is not None:
        if not host.get("path"):
            errors.append(required(f"{path}.hostPath.path"))
        else:
            no_backsteps(errors, f"{path}.hostPath.path", host["path"])
        if host.get("path") == "/" and policy == "Recycle":
            text = "may not be 'recycle' for a hostPath mount of '/'"
            errors.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    _sources(errors, spec, path)
    if spec.get("local") is not None and affinity is None:
        errors.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    if spec.get("storageClassName"):
        each_message(errors, f"{path}.storageClassName", spec["storageClassName"], dns_subdomain(spec["storageClassName"]))
    if spec.get("volumeMode", "Filesystem") not in _VOLUME_MODES:
        errors.append(unsupported(f"{path}.volumeMode", spec["volumeMode"], _VOLUME_MODES))


def _sources(errors: Errors, spec: Obj, path: str) -> None:
    needs = {"nfs": ("server", "path"), "csi": ("driver", "volumeHandle"), "local": ("path",)}
    for key, names in needs.items():
        source = spec.get(key)
        for name in names if source is not None else ():
            if not (source or {}).get(name):
                errors.append(required(f"{path}.{key}.{name}"))


def check_volume_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a volume has changed that may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if _pv_source(spec) != _pv_source(before):
        text = "spec.persistentvolumesource is immutable after creation\n"
        errors.append(forbidden("spec.persistentvolumesource", text))
    unchanged(errors, spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if before.get("nodeAffinity") is not None:
        unchanged(errors, spec.get("nodeAffinity"), before["nodeAffinity"], "nodeAffinity")


def check_class(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a StorageClass."""
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        errors.append(required("provisioner"))
    else:
        each_message(errors, "provisioner", provisioner, qualified_name(provisioner.lower()))
    for key in obj.get("parameters") or {}:
        if not key:
            errors.append(invalid("parameters", key, "field can not be empty."))
    if obj.get("reclaimPolicy") not in ("Delete", "Retain"):
        errors.append(unsupported("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain")))
    mode = obj.get("volumeBindingMode")
    if mode not in ("Immediate", "WaitForFirstConsumer"):
        errors.append(unsupported("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer")))
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        for position, one in enumerate(term.get("matchLabelExpressions") or ()):
            where = f"allowedTopologies[{index}].matchLabelExpressions[{position}]"
            if not one.get("values"):
                errors.append(required(f"{where}.values"))
            each_message(errors, f"{where}.key", one.get("key", ""), qualified_name(one.get("key", "")))


def check_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a class has changed that may not."""
    if (new.get("parameters") or {}) != (old.get("parameters") or {}):
        errors.append(forbidden("parameters", "updates to parameters are forbidden."))
    if new.get("provisioner") != old.get("provisioner"):
        errors.append(forbidden("provisioner", "updates to provisioner are forbidden."))
    if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
        errors.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    unchanged(errors, new.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode")
