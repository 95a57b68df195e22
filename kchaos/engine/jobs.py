"""Jobs: what became of them while the cluster came up, and the scenarios in which they are made anew and faults meet their pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kchaos.engine.booting import Boot, System
from kchaos.engine.cases import Example
from kchaos.engine.idle import RULE as IDLE
from kchaos.models.api.tree import Obj, get
from kchaos.models.faults.jobs import RUN, job_of, runs
from kchaos.models.manifests.load import Loaded, Manifest
from kchaos.models.manifests.notes import Note
from kchaos.scenario import At, Nth, Step

RULE = "KC321"
AT_ITS_NODE = ("node-power-loss", "zone-power-loss", "node-pause", "network-partition", "out-of-service", "drain")
AT_ITS_PODS = ("pod-kill", "container-kill", "oom-kill")
BEFORE = ("image-pull-failure",)
"""Faults that a Job's pods must find when they are made."""


def tried(system: System, booted: Boot) -> list[str]:
    """Return the Jobs and CronJobs that can be made anew: those that completed while the cluster came up, or left nothing behind."""
    refused = [f"{r.obj['kind']}/{r.obj['metadata'].get('namespace')}/{r.obj['metadata'].get('name')}" for r in booted.refused]
    jobs = booted.image.store.tables.get("jobs", {})
    out = []
    for target in runs(list(system.objects)):
        job = jobs.get(target.partition("/")[2]) if target.startswith("Job/") else None
        if target not in refused and target not in booted.workloads and (job is None or _condition(job, "Complete") is not None):
            out.append(target)
    return out


def job_scenarios(system: System, booted: Boot, faults: Sequence[str]) -> Iterator[tuple[Step, ...]]:
    """Yield for each Job that can be made anew: its run without a fault, and with each fault while its first pod runs."""
    zones, given = len(system.topology.zones), runs(list(system.objects))
    for target in tried(system, booted):
        run, job = Step(do=RUN, args={"target": target}), job_of(target)
        chosen = [name for name in faults if name in (*AT_ITS_NODE, *AT_ITS_PODS, *BEFORE) and (name != "zone-power-loss" or zones > 1)]
        if chosen:
            yield (run,)
        for name in chosen:
            if name in BEFORE:
                yield Step(do=name, args={"target": job}), Step(do=RUN, args={"target": target}, when=At(1.0))
            else:
                where = f"node-of({job})" if name in AT_ITS_NODE else job
                yield run, Step(do=name, args={"target": where}, when=Nth(_runs(job, given[target])))


def _runs(job: str, given: Obj) -> dict[str, str]:
    """Return the event that the kubelet reports a pod of a Job to run."""
    spec = get(given, "spec", "jobTemplate", "spec", default=given["spec"])
    ending = "-*-?????" if spec.get("completionMode") == "Indexed" else "-?????"
    return {
        "on": "commit",
        "type": "MODIFIED",
        "resource": "pods",
        "key": job.partition("/")[2] + ending,
        "actor": "kubelet",
        "phase": "Running",
    }


def met(examples: Iterable[Example]) -> list[str]:
    """Return the Jobs and CronJobs that were made anew and met a fault in any of these examples."""
    return list(dict.fromkeys(step.args["target"] for one in examples if len(one.steps) > 1 for step in one.steps if step.do == RUN))


def ended(loaded: Loaded, booted: Boot, again: Sequence[str] = ()) -> Iterator[Note]:
    """Yield one remark on all Jobs that completed, and one on each that failed or makes no pods. ``again``: those that faults met."""
    tables = booted.image.store.tables
    refused = [(r.obj["kind"], r.obj["metadata"].get("namespace"), r.obj["metadata"].get("name")) for r in booted.refused]
    done: list[Manifest] = []
    for one in loaded.manifests:
        if one.obj["kind"] != "Job":
            continue
        meta = one.obj["metadata"]
        if ("Job", meta.get("namespace"), meta.get("name")) in refused or one.id in booted.workloads:
            continue  # KC309; or it still has pods, and the properties speak
        job = _stored(tables.get("jobs", {}), meta)
        if job is None or _condition(job, "Complete") is not None:  # none: ttlSecondsAfterFinished took it away
            done.append(one)
            continue
        failed, name = _condition(job, "Failed"), meta.get("name") or meta.get("generateName", "")
        if failed is not None:
            why = ", ".join(dict.fromkeys(_endings(tables.get("pods", {}).values(), job)))
            says = f"Job {name} fails ({failed.get('reason', '')}): {failed.get('message', '')}" + (
                f"; its containers end with {why}" if why else ""
            )
            hint = "raise the memory limit of its containers" if "OOMKilled" in why else "see what its containers do"
            yield Note(RULE, "error", one.file, one.line, says, hint, one.id)
        elif get(job, "spec", "suspend"):
            yield Note(RULE, "info", one.file, one.at("spec.suspend"), f"Job {name} is suspended: no pod comes of it", "", one.id)
        else:
            says = f"Job {name} does not complete, and no pod of it is left that could"
            yield Note(RULE, "error", one.file, one.line, says, "see what refuses its pods: a quota, an admission rule", one.id)
    if done:
        names = [str(one.obj["metadata"].get("name") or one.obj["metadata"].get("generateName", "")) for one in done]
        many = (
            f"Jobs {', '.join(names[:4])}" + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            if len(names) > 1
            else f"Job {names[0]}"
        )
        says = f"{many} completed" + (
            "; made anew, faults met their pods"
            if all(one.id in again for one in done)
            else "; faults are injected only into what keeps running"
        )
        yield Note(RULE, "info", done[0].file, done[0].line, says, "", done[0].id)


def why_nothing_runs(loaded: Loaded, notes: Sequence[Note], again: Sequence[str] = ()) -> str:
    """Return in words why there is nothing that faults could do; empty if Jobs ran to their end, which is an answer."""
    if again or any(note.rule == RULE and "suspended" not in note.message for note in notes):
        return ""
    waiting = [f"CronJob {one.obj['metadata'].get('name', '')}" for one in loaded.manifests if one.obj["kind"] == "CronJob"]
    if waiting:
        return f"{', '.join(waiting[:3])} makes pods by its schedule only, and nothing else here runs: give its jobTemplate as a Job to see it run"
    asleep = next((note.message for note in notes if note.rule in (RULE, IDLE)), "")
    return asleep or "no pod comes of these objects: there is nothing that faults could do"


def _stored(jobs: Mapping[str, Obj], meta: Obj) -> Obj | None:
    space, name = meta.get("namespace", "default"), meta.get("name")
    if name:
        return jobs.get(f"{space}/{name}")
    return next((job for key, job in sorted(jobs.items()) if key.startswith(f"{space}/{meta.get('generateName', '')}")), None)


def _condition(job: Obj, type_: str) -> Obj | None:
    found: Sequence[Obj] = get(job, "status", "conditions", default=())
    return next((one for one in found if one.get("type") == type_ and one.get("status") == "True"), None)


def _endings(pods: Iterable[Obj], job: Obj) -> Iterator[str]:
    for pod in pods:
        if not any(owner.get("uid") == job["metadata"].get("uid") for owner in pod["metadata"].get("ownerReferences") or ()):
            continue
        for status in get(pod, "status", "containerStatuses", default=()):
            end = get(status, "state", "terminated", default={})
            if end.get("exitCode"):
                yield f"{end.get('reason', 'Error')} (exit code {end['exitCode']})"
