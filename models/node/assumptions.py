"""What YAML does not tell of an application: documented defaults, each of which the user can set in kchaos.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj
from kchaos.models.node.apicall import ApiCall


class Assumptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the containers of one workload behave. Seconds throughout."""

    start_s: float = 5.0
    """From container start until it really serves. Probes fail until then; a pod *without* readiness probe counts as ready at once,
    as Kubernetes sees it, and loses what it is sent before."""
    image_pull_s: float = 1.0
    """The first pull of an image on a node."""
    accepts_after_sigterm_s: float = 0.0
    """How long new requests are still served after SIGTERM: most servers close their listener at once."""
    exit_after_s: float = 1.0
    """From SIGTERM to the end of the process; longer than the grace period means SIGKILL."""
    prestop_s: float = 1.0
    """Length of a preStop hook whose command does not say (`sleep N` and `sleep: {seconds: N}` do)."""
    run_s: float = 5.0
    """How long a container of a Job, or an init container, runs before it exits with 0 (init containers: a fifth of it)."""
    requests_per_s: float = 10.0
    """Requests that users send to each Service that selects the workload."""
    keeps_connections: bool = False
    """Clients keep their TCP connections (pools, gRPC) instead of making one for each request: one whose other side falls silent hangs for
    15 minutes; a clean end is noticed at once."""
    resolver_cache_s: float | None = None
    """How long clients keep the answer to a look-up of the workload's headless Service (a cache on the node, a runtime's own); None: no
    requests are sent to headless Services."""
    memory: str | None = None
    """What each container of the workload uses, as a quantity; more than its limit: it is OOM-killed once it has started up."""
    quorum: int | None = None
    """How many members of a StatefulSet must serve; None: more than half of its replicas."""
    outage_s: float = 0.0
    """How long nobody may answer before it is reported, for a planned operation."""
    calls: tuple[ApiCall, ...] = ()
    """What its pods ask of the API server while they run."""


DEFAULTS = Assumptions()
_SLEEP = re.compile(r"\bsleep\s+(\d+(?:\.\d+)?)([smh]?)\b")


def assume(base: Assumptions, own: Mapping[str, Any]) -> Assumptions:
    """Return ``base`` with what a user wrote about a workload. Raises msgspec.ValidationError."""
    return msgspec.convert({**msgspec.to_builtins(base), **own}, Assumptions)


def uses_too_much(container: Obj, assumptions: Assumptions) -> bool:
    """Tell whether a container uses more memory than its limit."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return bool(assumptions.memory and limit and exact(assumptions.memory) > exact(limit))


def prestop_s(container: Obj, assumptions: Assumptions) -> float:
    """Return how long a container's preStop hook takes; 0 without one."""
    hook = (container.get("lifecycle") or {}).get("preStop")
    if not hook:
        return 0.0
    if hook.get("sleep"):
        return float(hook["sleep"].get("seconds", 0))
    text = " ".join(str(part) for part in (hook.get("exec") or {}).get("command") or ())
    found = _SLEEP.search(text)
    if found is not None:
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
    return assumptions.prestop_s


def probe_times(probe: Obj, begin_s: float, serves_from_s: float) -> tuple[float | None, float | None]:
    """Return (when the success threshold is reached, when the failure threshold is) for a container begun at ``begin_s``.

    Probes fire at begin + initialDelaySeconds + k * periodSeconds and fail until ``serves_from_s``. One of the two is None. (The real
    kubelet spreads first probes by a random part of the period, which is not modelled.)
    """
    first = begin_s + float(probe.get("initialDelaySeconds") or 0)
    period = float(probe.get("periodSeconds") or 10)
    failures = 0
    if serves_from_s > first:
        failures = int(-(-(serves_from_s - first) // period))
    threshold = int(probe.get("failureThreshold") or 3)
    if failures >= threshold:
        return None, first + (threshold - 1) * period
    return first + (failures + int(probe.get("successThreshold") or 1) - 1) * period, None
