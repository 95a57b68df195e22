"""Volumes of a pod and their sources (pkg/apis/core/validation/validation.go: ValidateVolumes and below)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, duplicate, forbidden, invalid, not_found, required, unsupported
from kchaos.models.api.validation.names import dns_label, dns_subdomain, each_message, label_value, qualified_name

_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_VOLUME_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
)  # fmt: skip
CONTAINER_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_CLOUD = {
    "gcePersistentDisk": ("persistentDisk", ("pdName",)),
    "awsElasticBlockStore": ("awsElasticBlockStore", ("volumeID",)),
    "glusterfs": ("glusterfs", ("endpoints", "path")),
    "cinder": ("cinder", ("volumeID",)),
    "vsphereVolume": ("vsphereVolume", ("volumePath",)),
    "portworxVolume": ("portworxVolume", ("volumeID",)),
    "photonPersistentDisk": ("photonPersistentDisk", ("pdID",)),
    "cephfs": ("cephfs", ("monitors",)),
    "rbd": ("rbd", ("monitors", "image")),
    "quobyte": ("quobyte", ("registry", "volume")),
    "azureFile": ("azureFile", ("secretName", "shareName")),
    "azureDisk": ("azureDisk", ("diskName", "diskURI")),
    "gitRepo": ("gitRepo", ("repository",)),
    "persistentVolumeClaim": ("persistentVolumeClaim", ("claimName",)),
    "flexVolume": ("flexVolume", ("driver",)),
}  # fmt: skip


def no_backsteps(errors: Errors, path: str, text: str) -> None:
    """Add an error if a path has a ``..`` step."""
    if ".." in text.split("/"):
        errors.append(invalid(path, text, "must not contain '..'"))


def descending_path(errors: Errors, path: str, text: str) -> None:
    """Add an error unless ``text`` is a relative path without ``..`` steps."""
    if text.startswith("/"):
        errors.append(invalid(path, text, "must be a relative path"))
    no_backsteps(errors, path, text)


def non_reserved_path(errors: Errors, path: str, text: str) -> None:
    """Add an error unless ``text`` is a relative path that does not begin with two dots."""
    descending_path(errors, path, text)
    if text.startswith("..") and not text.startswith("../"):
        errors.append(invalid(path, text, "must not start with '..'"))


def _mode(errors: Errors, part: Obj, path: str, key: str) -> None:
    mode = part.get(key)
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid(f"{path}.{key}", mode, _MODE_TEXT))


def _items(errors: Errors, part: Obj, path: str) -> None:
    for index, item in enumerate(part.get("items") or ()):
        where = f"{path}.items[{index}]"
        if not item.get("key"):
            errors.append(required(f"{where}.key"))
        if not item.get("path"):
            errors.append(required(f"{where}.path"))
        non_reserved_path(errors, f"{where}.path", item.get("path", ""))
        _mode(errors, item, where, "mode")


def _host_path(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
        return
    no_backsteps(errors, f"{path}.path", source["path"])
    if source.get("type", "") not in _HOST_PATHS:
        errors.append(unsupported(f"{path}.type", source["type"], _HOST_PATHS))


def _secret(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("secretName"):
        errors.append(required(f"{path}.secretName"))
    _mode(errors, source, path, "defaultMode")
    _items(errors, source, path)


def _config_map(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("name"):
        errors.append(required(f"{path}.name"))
    _mode(errors, source, path, "defaultMode")
    _items(errors, source, path)


def _nfs(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("server"):
        errors.append(required(f"{path}.server"))
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
    if not source.get("path", "").startswith("/"):
        errors.append(invalid(f"{path}.path", source.get("path", ""), "must be an absolute path"))


def _empty_dir(errors: Errors, source: Obj, path: str) -> None:
    if source.get("sizeLimit") is not None and exact(source["sizeLimit"]) < 0:
        errors.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def field_selector(errors: Errors, ref: Obj, path: str, allowed: tuple[str, ...]) -> None:
    """Add what is wrong with a fieldRef (validateObjectFieldSelector)."""
    label = ref.get("fieldPath", "")
    if not label:
        errors.append(required(f"{path}.fieldPath"))
        return
    head, bracket, rest = label.partition("['")
    if bracket and rest.endswith("']"):
        key = rest[:-2]
        if head in ("metadata.annotations", "metadata.labels"):
            each_message(errors, path, key, qualified_name(key.lower() if head.endswith("annotations") else key))
        else:
            text = f"error converting fieldPath: field label does not support subscript: {label}"
            errors.append(invalid(f"{path}.fieldPath", label, text))
        return
    known = (*_VOLUME_FIELDS, "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName",
             "status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "spec.host",
             "spec.hostNetwork", "status.nominatedNodeName")  # fmt: skip
    if label not in known:
        text = f"error converting fieldPath: field label not supported: {label}"
        errors.append(invalid(f"{path}.fieldPath", label, text))
    elif label not in allowed:
        errors.append(unsupported(f"{path}.fieldPath", label, sorted(allowed)))


def resource_selector(errors: Errors, ref: Obj, path: str, in_volume: bool) -> None:
    """Add what is wrong with a resourceFieldRef (validateContainerResourceFieldSelector)."""
    name = ref.get("resource", "")
    if in_volume and not ref.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not name:
        errors.append(required(f"{path}.resource"))
    elif name not in CONTAINER_RESOURCES and not name.startswith(("limits.hugepages-", "requests.hugepages-")):
        errors.append(unsupported(f"{path}.resource", name, CONTAINER_RESOURCES))
    divisor = str(ref.get("divisor", "0"))
    if exact(divisor) == 0:
        return
    if name.endswith(".cpu"):
        if divisor not in ("1m", "1"):
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(invalid(f"{path}.divisor", name, text))
    elif divisor not in ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"):
        what = "memory" if name.endswith(".memory") else "local ephemeral storage"
        text = f"only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {what} resource"
        errors.append(invalid(f"{path}.divisor", name, text))


def _downward_file(errors: Errors, item: Obj, path: str) -> None:
    if not item.get("path"):
        errors.append(required(f"{path}.path"))
    non_reserved_path(errors, f"{path}.path", item.get("path", ""))
    if item.get("fieldRef") is not None:
        field_selector(errors, item["fieldRef"], f"{path}.fieldRef", _VOLUME_FIELDS)
        if item.get("resourceFieldRef") is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", text))
    elif item.get("resourceFieldRef") is not None:
        resource_selector(errors, item["resourceFieldRef"], f"{path}.resourceFieldRef", True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    _mode(errors, item, path, "mode")


def _downward(errors: Errors, source: Obj, path: str) -> None:
    _mode(errors, source, path, "defaultMode")
    for item in source.get("items") or ():
        _downward_file(errors, item, path)


def _projection(errors: Errors, source: Obj, path: str) -> int:
    count = 0
    for key in ("secret", "configMap"):
        part = source.get(key)
        if part is not None:
            count += 1
            if not part.get("name"):
                errors.append(required(f"{path}.{key}.name"))
            _items(errors, part, f"{path}.{key}")
    if source.get("downwardAPI") is not None:
        count += 1
        for item in source["downwardAPI"].get("items") or ():
            _downward_file(errors, item, f"{path}.downwardAPI")
    token = source.get("serviceAccountToken")
    if token is not None:
        count += 1
        seconds, where = token.get("expirationSeconds", 3600), f"{path}.serviceAccountToken"
        if seconds < 600:
            errors.append(invalid(f"{where}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds > 1 << 32:
            errors.append(invalid(f"{where}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
        if not token.get("path"):
            errors.append(required(f"{where}.path"))
        else:
            non_reserved_path(errors, f"{where}.path", token["path"])
    return count + (source.get("clusterTrustBundle") is not None) + (source.get("podCertificate") is not None)


def _projected(errors: Errors, source: Obj, path: str) -> None:
    _mode(errors, source, path, "defaultMode")
    for index, one in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        if _projection(errors, one, where) > 1:
            errors.append(forbidden(where, "may not specify more than 1 volume type"))


def _csi(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("driver"):
        errors.append(required(f"{path}.driver"))
    elif len(source["driver"]) > 63:
        errors.append(invalid(f"{path}.driver", source["driver"], "must be no more than 63 characters"))
    else:
        each_message(errors, f"{path}.driver", source["driver"], dns_subdomain(source["driver"].lower()))


def _ephemeral(errors: Errors, source: Obj, path: str) -> None:
    from kchaos.models.api.validation.storage import check_claim_spec

    claim = source.get("volumeClaimTemplate")
    if claim is None:
        errors.append(required(f"{path}.volumeClaimTemplate"))
    else:
        check_claim_spec(errors, claim.get("spec") or {}, f"{path}.volumeClaimTemplate.spec")


def _members(names: tuple[str, ...]) -> Callable[[Errors, Obj, str], None]:
    def check(errors: Errors, source: Obj, path: str) -> None:
        for name in names:
            if not source.get(name):
                errors.append(required(f"{path}.{name}"))

    return check


_CHECKS: dict[str, tuple[str, Callable[[Errors, Obj, str], None]]] = {
    "emptyDir": ("emptyDir", _empty_dir),
    "hostPath": ("hostPath", _host_path),
    "secret": ("secret", _secret),
    "configMap": ("configMap", _config_map),
    "nfs": ("nfs", _nfs),
    "downwardAPI": ("downwardAPI", _downward),
    "projected": ("projected", _projected),
    "csi": ("csi", _csi),
    "ephemeral": ("ephemeral", _ephemeral),
    "image": ("image", _members(("reference",))),
    "iscsi": ("iscsi", _members(("targetPortal", "iqn"))),
    "fc": ("fc", _members(())),
    "flocker": ("flocker", _members(())),
    "scaleIO": ("scaleIO", _members(("gateway", "system", "volumeName"))),
    "storageos": ("storageos", _members(("volumeName",))),
    **{key: (shown, _members(names)) for key, (shown, names) in _CLOUD.items()},
}
SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume",
    "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos",
    "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip


def _source(errors: Errors, volume: Obj, path: str) -> None:
    found = 0
    for key in SOURCES if len(volume) > 2 else volume:
        if key not in _CHECKS or volume.get(key) is None:
            continue
        if found:
            errors.append(forbidden(f"{path}.{key}", "may not specify more than 1 volume type"))
            continue
        found = 1
        shown, check = _CHECKS[key]
        check(errors, volume[key], f"{path}.{shown}")
    if not found:
        errors.append(required(path, "must specify a volume type"))


def check_volumes(errors: Errors, volumes: list[Obj], path: str) -> dict[str, Obj]:
    """Add what is wrong with the volumes; return the good ones by name."""
    good: dict[str, Obj] = {}
    for index, volume in enumerate(volumes):
        where, before = f"{path}[{index}]", len(errors)
        _source(errors, volume, where)
        name = volume.get("name", "")
        if not name:
            errors.append(required(f"{where}.name"))
        else:
            each_message(errors, f"{where}.name", name, dns_label(name))
        if name in good:
            errors.append(duplicate(f"{where}.name", name))
        if len(errors) == before:
            good[name] = volume
    return good


def check_mounts(errors: Errors, container: Obj, volumes: dict[str, Obj], path: str) -> None:
    """Add what is wrong with volumeMounts and volumeDevices of a container."""
    mounts: list[Any] = container.get("volumeMounts") or []
    devices: list[Any] = container.get("volumeDevices") or []
    seen: dict[str, None] = {}
    for index, mount in enumerate(mounts):
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.append(required(f"{path}.volumeMounts[{index}].name"))
        if name not in volumes:
            errors.append(not_found(f"{path}.volumeMounts[{index}].name", name))
        if not target:
            errors.append(required(f"{path}.volumeMounts[{index}].mountPath"))
        if target in seen:
            errors.append(invalid(f"{path}.volumeMounts[{index}].mountPath", target, "must be unique"))
        seen[target] = None
        if mount.get("subPath"):
            descending_path(errors, f"{path}.volumeMounts.subPath", mount["subPath"])
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(invalid(f"{path}.volumeMounts[{index}].subPathExpr", mount["subPathExpr"], text))
            descending_path(errors, f"{path}.volumeMounts.subPathExpr", mount["subPathExpr"])
        spread = mount.get("mountPropagation")
        if spread is not None:
            where = f"{path}.volumeMounts.mountPropagation"
            if spread not in ("None", "HostToContainer", "Bidirectional"):
                errors.append(unsupported(where, spread, ("Bidirectional", "HostToContainer", "None")))
            elif spread == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
                errors.append(forbidden(where, "Bidirectional mount propagation is available only to privileged containers"))
    for index, device in enumerate(devices):
        where, name = f"{path}.volumeDevices[{index}]", device.get("name", "")
        if not name:
            errors.append(required(f"{where}.name"))
        if name not in volumes:
            errors.append(not_found(f"{where}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys():
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{where}.name", name, text))
        if not device.get("devicePath"):
            errors.append(required(f"{where}.devicePath"))
        if any(mount.get("name") == name for mount in mounts):
            errors.append(invalid(f"{where}.name", name, "must not already exist in volumeMounts"))


__all__ = ["CONTAINER_RESOURCES", "check_mounts", "check_volumes", "field_selector", "label_value", "resource_selector"]
