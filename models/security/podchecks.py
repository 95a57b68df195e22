"""The checks of the Pod Security Standards, each a function from pod to what is wrong with it.

Source: staging/src/k8s.io/pod-security-admission/policy/check_*.go; https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kchaos.models.api.tree import Obj, get

Found = tuple[str, str] | None
"""Forbidden reason and detail, None if all is well."""
_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
})  # fmt: skip
_SYSCTLS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
         "net.ipv4.ip_unprivileged_port_start")),
    (27, ("net.ipv4.ip_local_reserved_ports",)),
    (29, ("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes")),
    (32, ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
)  # fmt: skip
_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"})


def containers(spec: Obj) -> list[Obj]:
    """Return all containers in the order in which they are checked."""
    return [*(spec.get("initContainers") or ()), *spec.get("containers", ()), *(spec.get("ephemeralContainers") or ())]


def _context(one: Obj, *path: str) -> object:
    return get(one, "securityContext", *path)


def _quote(values: Iterable[str]) -> str:
    return ", ".join(f'"{one}"' for one in values)


def _who(names: Sequence[str], pod: bool = False, joined: str = " and ") -> str:
    parts = ["pod"] if pod else []
    if names:
        parts.append(f"container{'s' if len(names) > 1 else ''} {_quote(names)}")
    return joined.join(parts)


def _bad(spec: Obj, test: Callable[[Obj], bool]) -> list[str]:
    return [one["name"] for one in containers(spec) if test(one)]


def _host_namespaces(pod: Obj, minor: int) -> Found:
    told = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod["spec"].get(field)]
    return ("host namespaces", ", ".join(told)) if told else None


def _host_path(pod: Obj, minor: int) -> Found:
    names = [one["name"] for one in pod["spec"].get("volumes") or () if one.get("hostPath") is not None]
    return ("hostPath volumes", f"volume{'s' if len(names) > 1 else ''} {_quote(names)}") if names else None


def _host_ports(pod: Obj, minor: int) -> Found:
    ports = {one["name"]: [p["hostPort"] for p in one.get("ports") or () if p.get("hostPort")] for one in containers(pod["spec"])}
    names = [name for name, used in ports.items() if used]
    if not names:
        return None
    numbers = [str(one) for one in sorted({port for used in ports.values() for port in used})]
    verb = "uses" if len(names) == 1 else "use"
    return "hostPort", f"{_who(names)} {verb} hostPort{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _privileged(pod: Obj, minor: int) -> Found:
    names = _bad(pod["spec"], lambda one: _context(one, "privileged") is True)
    return ("privileged", f"{_who(names)} must not set securityContext.privileged=true") if names else None


def _proc_mount(pod: Obj, minor: int) -> Found:
    names = _bad(pod["spec"], lambda one: _context(one, "procMount") not in (None, "Default"))
    values = sorted({str(_context(one, "procMount")) for one in containers(pod["spec"])} - {"None", "Default"})
    return ("procMount", f"{_who(names)} must not set securityContext.procMount to {_quote(values)}") if names else None


def _added(one: Obj) -> list[str]:
    return list(get(one, "securityContext", "capabilities", "add", default=()))


def _capabilities(pod: Obj, minor: int) -> Found:
    bad = {one["name"]: set(_added(one)) - _CAPABILITIES for one in containers(pod["spec"])}
    names = [name for name, values in bad.items() if values]
    if not names:
        return None
    values = sorted(set().union(*bad.values()))
    return "non-default capabilities", f"{_who(names)} must not include {_quote(values)} in securityContext.capabilities.add"


def _selinux(pod: Obj, minor: int) -> Found:
    allowed = {"", "container_t", "container_init_t", "container_kvm_t", *(("container_engine_t",) if minor >= 31 else ())}

    def options(one: Obj) -> Obj:
        found: Obj = get(one, "securityContext", "seLinuxOptions", default={})
        return found

    def bad(one: Obj) -> bool:
        mine = options(one)
        return mine.get("type", "") not in allowed or bool(mine.get("user")) or bool(mine.get("role"))

    spec = pod["spec"]
    names, on_pod = _bad(spec, bad), bad(spec)
    if not names and not on_pod:
        return None
    all_of = [options(one) for one in (spec, *containers(spec))]
    types = sorted({one["type"] for one in all_of if one.get("type", "") not in allowed})
    told = [f"type{'s' if len(types) > 1 else ''} {_quote(types)}"] if types else []
    told += [f"{field} may not be set" for field in ("user", "role") if any(one.get(field) for one in all_of)]
    return "seLinuxOptions", f"{_who(names, on_pod)} set forbidden securityContext.seLinuxOptions: {'; '.join(told)}"


def _seccomp(one: Obj) -> object:
    return _context(one, "seccompProfile", "type")


def _seccomp_baseline(pod: Obj, minor: int) -> Found:
    spec = pod["spec"]
    return _seccomp_set(spec, lambda kind: kind in (None, "RuntimeDefault", "Localhost"))


def _seccomp_set(spec: Obj, fine: Callable[[object], bool]) -> Found:
    names, on_pod = _bad(spec, lambda one: not fine(_seccomp(one))), not fine(_seccomp(spec))
    if not names and not on_pod:
        return None
    values = sorted({str(_seccomp(one)) for one in (spec, *containers(spec)) if not fine(_seccomp(one))})
    return "seccompProfile", f"{_who(names, on_pod)} must not set securityContext.seccompProfile.type to {_quote(values)}"


def _seccomp_restricted(pod: Obj, minor: int) -> Found:
    spec = pod["spec"]
    found = _seccomp_set(spec, lambda kind: kind in (None, "RuntimeDefault", "Localhost"))
    if found is not None or _seccomp(spec) is not None:
        return found
    names = _bad(spec, lambda one: _seccomp(one) is None)
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return ("seccompProfile", f"{_who(names, True, ' or ')} {text}") if names else None


def _sysctls(pod: Obj, minor: int) -> Found:
    allowed = {name for since, names in _SYSCTLS if minor >= since for name in names}
    names = sorted({one["name"] for one in get(pod, "spec", "securityContext", "sysctls", default=()) if one["name"] not in allowed})
    return ("forbidden sysctls", ", ".join(names)) if names else None


def _host_process(pod: Obj, minor: int) -> Found:
    spec = pod["spec"]

    def bad(one: Obj) -> bool:
        return _context(one, "windowsOptions", "hostProcess") is True

    names, on_pod = _bad(spec, bad), bad(spec)
    text = "must not set securityContext.windowsOptions.hostProcess=true"
    return ("hostProcess", f"{_who(names, on_pod)} {text}") if names or on_pod else None


def _apparmor(pod: Obj, minor: int) -> Found:
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    spec = pod["spec"]
    notes = pod["metadata"].get("annotations") or {}

    def bad(one: Obj) -> bool:
        return _context(one, "appArmorProfile", "type") not in (None, "RuntimeDefault", "Localhost")

    names, on_pod = _bad(spec, bad), bad(spec)
    told = []
    if names or on_pod:
        told.append(f'{_who(names, on_pod)} must not set securityContext.appArmorProfile.type to "Unconfined"')
    told += [
        f'{key}="{value}"' for key, value in sorted(notes.items())
        if key.startswith(prefix) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]  # fmt: skip
    return (f"forbidden AppArmor profile{'s' if len(told) > 1 else ''}", ", ".join(told)) if told else None


def _host_probes(pod: Obj, minor: int) -> Found:
    spec = pod["spec"]

    def hosts(one: Obj) -> list[str]:
        handlers = [one.get(probe) or {} for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [get(one, "lifecycle", hook, default={}) for hook in ("postStart", "preStop")]
        found = (get(handler, kind, "host") for handler in handlers for kind in ("httpGet", "tcpSocket"))
        return [host for host in found if host]

    names = _bad(spec, lambda one: bool(hosts(one)))
    if not names:
        return None
    values = sorted({host for one in containers(spec) for host in hosts(one)})
    verb = "uses" if len(names) == 1 else "use"
    return "probe or lifecycle host", f"{_who(names)} {verb} probe or lifecycle host{'s' if len(values) > 1 else ''} {_quote(values)}"


# -- restricted ------------------------------------------------------------------------------------------------------------


def _windows(pod: Obj) -> bool:
    return bool(get(pod, "spec", "os", "name") == "windows")


def _escalation(pod: Obj, minor: int) -> Found:
    names = _bad(pod["spec"], lambda one: _context(one, "allowPrivilegeEscalation") is not False)
    if not names or (_windows(pod) and minor >= 25):
        return None
    return "allowPrivilegeEscalation != false", f"{_who(names)} must set securityContext.allowPrivilegeEscalation=false"


def _unrestricted(pod: Obj, minor: int) -> Found:
    if _windows(pod) and minor >= 25:
        return None
    spec = pod["spec"]
    kept = _bad(spec, lambda one: "ALL" not in get(one, "securityContext", "capabilities", "drop", default=()))
    adding = _bad(spec, lambda one: bool(set(_added(one)) - {"NET_BIND_SERVICE"}))
    told = [f'{_who(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    if adding:
        values = sorted({value for one in containers(spec) for value in _added(one)} - {"NET_BIND_SERVICE"})
        told.append(f"{_who(adding)} must not include {_quote(values)} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(told)) if told else None


def _volume_types(pod: Obj, minor: int) -> Found:
    bad = {}
    for one in pod["spec"].get("volumes") or ():
        kind = next((key for key in one if key != "name" and one[key] is not None), "unknown")
        if kind not in _VOLUMES:
            bad[one["name"]] = kind
    if not bad:
        return None
    kinds, many = sorted(set(bad.values())), len(bad) > 1
    text = f"volume{'s' if many else ''} {_quote(bad)} use{'' if many else 's'} restricted volume type{'s' if len(kinds) > 1 else ''}"
    return "restricted volume types", f"{text} {_quote(kinds)}"


def _non_root(pod: Obj, minor: int) -> Found:
    spec, reason = pod["spec"], "runAsNonRoot != true"
    names, on_pod = _bad(spec, lambda one: _context(one, "runAsNonRoot") is False), _context(spec, "runAsNonRoot") is False
    if on_pod and not names:
        on_pod = any(_context(one, "runAsNonRoot") is None for one in containers(spec))
    if names or on_pod:
        return reason, f"{_who(names, on_pod)} must not set securityContext.runAsNonRoot=false"
    if _context(spec, "runAsNonRoot") is True:
        return None
    unset = _bad(spec, lambda one: _context(one, "runAsNonRoot") is None)
    return (reason, f"{_who(unset, True, ' or ')} must set securityContext.runAsNonRoot=true") if unset else None


def _as_root(pod: Obj, minor: int) -> Found:
    spec = pod["spec"]
    names, on_pod = _bad(spec, lambda one: _context(one, "runAsUser") == 0), _context(spec, "runAsUser") == 0
    return ("runAsUser=0", f"{_who(names, on_pod)} must not set runAsUser=0") if names or on_pod else None


class Check(NamedTuple):
    """One check: from which minor version on, and which baseline check it takes the place of."""

    id: str
    since: int
    run: Callable[[Obj, int], Found]
    instead_of: str = ""


BASELINE = (
    Check("appArmorProfile", 0, _apparmor), Check("capabilities_baseline", 0, _capabilities),
    Check("hostNamespaces", 0, _host_namespaces), Check("hostPathVolumes", 0, _host_path), Check("hostPorts", 0, _host_ports),
    Check("hostProbesAndHostLifecycle", 34, _host_probes), Check("privileged", 0, _privileged), Check("procMount", 0, _proc_mount),
    Check("seLinuxOptions", 0, _selinux), Check("seccompProfile_baseline", 19, _seccomp_baseline), Check("sysctls", 0, _sysctls),
    Check("windowsHostProcess", 0, _host_process),
)  # fmt: skip
RESTRICTED = (
    Check("allowPrivilegeEscalation", 8, _escalation), Check("capabilities_restricted", 22, _unrestricted, "capabilities_baseline"),
    Check("restrictedVolumes", 0, _volume_types, "hostPathVolumes"), Check("runAsNonRoot", 0, _non_root),
    Check("runAsUser", 23, _as_root), Check("seccompProfile_restricted", 19, _seccomp_restricted, "seccompProfile_baseline"),
)  # fmt: skip
