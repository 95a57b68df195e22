"""Jobs and CronJobs (pkg/apis/batch/validation/validation.go; schedules: github.com/robfig/cron/v3 parser.go)."""

from __future__ import annotations

import re
from typing import Any

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, FieldError, Text, invalid, required, shown, unsupported
from kchaos.models.api.validation.names import (
    IMMUTABLE,
    check_selector,
    dns_label,
    each_message,
    members_not_negative,
    not_negative,
    qualified_name,
    unchanged,
)
from kchaos.models.api.validation.pod import check_template

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")


def _job_spec(errors: Errors, spec: Obj, path: str) -> None:
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
                 "backoffLimitPerIndex", "maxFailedIndexes"):  # fmt: skip
        not_negative(errors, f"{path}.{name}", spec.get(name))
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if failed is not None and per_index is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("NonIndexed", "Indexed"):
        errors.append(unsupported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        _indexed(errors, spec, path)
    if mode == "NonIndexed":
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                errors.append(invalid(f"{path}.{name}", spec[name], "requires indexed completion mode"))
    if spec.get("podFailurePolicy") is not None:
        for index, rule in enumerate(spec["podFailurePolicy"].get("rules") or ()):
            _failure_rule(errors, spec, rule, f"{path}.podFailurePolicy.rules[{index}]")
    _success(errors, spec, path, mode)
    policy = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if policy is not None and policy not in allowed:
        errors.append(unsupported(f"{path}.podReplacementPolicy", policy, allowed))
    template = spec.get("template") or {}
    check_template(errors, template, f"{path}.template")
    restart, where = (template.get("spec") or {}).get("restartPolicy", ""), f"{path}.template.spec.restartPolicy"
    if restart in ("Always", ""):
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif restart not in ("OnFailure", "Never"):
        errors.append(unsupported(where, restart, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and restart != "Never":
        errors.append(invalid(where, restart, 'only "Never" is supported when podFailurePolicy is specified'))


def _indexed(errors: Errors, spec: Obj, path: str) -> None:
    completions, parallelism, failed = (spec.get(name) for name in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > 100000:
        text = "must be less than or equal to 100000 when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    if failed is not None and failed > 100000:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to 100000"))


def _omitted(path: str, text: str) -> FieldError:
    """Return an ``Invalid value`` that shows no value (field.OmitValueType)."""
    return FieldError(path, "Invalid value", text, Text(""))


def _failure_rule(errors: Errors, spec: Obj, rule: Obj, path: str) -> None:
    action, codes, conditions = rule.get("action", ""), rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if not action:
        errors.append(required(f"{path}.action", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            errors.append(invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    elif action not in _ACTIONS:
        errors.append(unsupported(f"{path}.action", action, _ACTIONS))
    if codes is not None:
        _exit_codes(errors, spec, codes, f"{path}.onExitCodes")
    for index, one in enumerate(conditions):
        where = f"{path}.onPodConditions[{index}]"
        each_message(errors, f"{where}.type", one.get("type", ""), qualified_name(one.get("type", "")))
        if one.get("status") not in ("False", "True", "Unknown"):
            errors.append(unsupported(f"{where}.status", one.get("status", ""), ("False", "True", "Unknown")))
    if codes is not None and conditions:
        errors.append(_omitted(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not conditions:
        errors.append(_omitted(path, "specifying one of OnExitCodes and OnPodConditions is required"))


def _exit_codes(errors: Errors, spec: Obj, codes: Obj, path: str) -> None:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    if not operator:
        errors.append(required(f"{path}.operator", 'valid values: ["In" "NotIn"]'))
    elif operator not in ("In", "NotIn"):
        errors.append(unsupported(f"{path}.operator", operator, ("In", "NotIn")))
    name = codes.get("containerName")
    pod = (spec.get("template") or {}).get("spec") or {}
    names = [one.get("name") for key in ("containers", "initContainers") for one in pod.get(key) or ()]
    if name is not None and name not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", name, text))
    if not values:
        errors.append(invalid(f"{path}.values", [], "at least one value is required"))
    seen: list[int] = []
    ordered = True
    for index, value in enumerate(values):
        if value == 0 and operator == "In":
            errors.append(invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(FieldError(f"{path}.values[{index}]", "Duplicate value", "", value))
        ordered = ordered and (not seen or seen[-1] < value or value in seen)
        seen.append(value)
    if not ordered:
        errors.append(invalid(f"{path}.values", values, "must be ordered"))


def _success(errors: Errors, spec: Obj, path: str, mode: str) -> None:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    where, rules = f"{path}.successPolicy", policy.get("rules") or []
    if mode != "Indexed":
        parts = [
            f'{{"SucceededIndexes":{shown(rule.get("succeededIndexes"))},"SucceededCount":{shown(rule.get("succeededCount"))}}}'
            for rule in rules
        ]
        errors.append(invalid(where, Text(f'{{"Rules":[{",".join(parts)}]}}'), "requires indexed completion mode"))
        return
    if not rules:
        errors.append(required(f"{where}.rules", "at least one rules must be specified when the successPolicy is specified"))
    for index, rule in enumerate(rules):
        at, count = f"{where}.rules[{index}]", rule.get("succeededCount")
        if count is None and rule.get("succeededIndexes") is None:
            errors.append(required(at, "at least one of succeededCount or succeededIndexes must be specified"))
        not_negative(errors, f"{at}.succeededCount", count)
        total = spec.get("completions")
        if count is not None and total is not None and count > total:
            text = f"must be less than or equal to {total} (the number of specified completions)"
            errors.append(invalid(f"{at}.succeededCount", count, text))


def check_job(errors: Errors, job: Obj) -> None:
    """Add what is wrong with a Job's spec."""
    spec, meta = job.get("spec") or {}, job.get("metadata") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if not spec.get("manualSelector") and selector is not None:
        wanted = dict(zip(_LABELS, (meta.get("uid", ""), meta.get("name", "")) * 2, strict=True))
        for key, value in wanted.items():
            where = f"spec.template.metadata.labels[{key}]"
            if key not in (labels or {}):
                errors.append(required(where, f"must be '{value}'"))
            elif (labels or {})[key] != value:
                errors.append(invalid(where, labels, f"must be '{value}'"))
        if _compiles(selector) and not compile_selector(selector)(wanted):
            errors.append(invalid("spec.selector", selector, "`selector` not auto-generated"))
    _job_spec(errors, spec, "spec")
    if selector is None:
        errors.append(required("spec.selector"))
    check_selector(errors, selector, "spec.selector")
    if _compiles(selector) and not compile_selector(selector)(labels or {}):
        errors.append(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        host = f"{meta.get('name', '')}-{completions - 1}"
        if dns_label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            errors.append(invalid("metadata.name", meta.get("name", ""), text))


def _compiles(selector: Any) -> bool:
    probe: Errors = []
    check_selector(probe, selector, "")
    return not probe


_DIRECTIVES = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def check_job_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a Job has changed that may not (ValidateJobSpecUpdate)."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if spec.get("completionMode") == "Indexed":
        total = spec.get("completions")
        if total is not None and total != before.get("completions") and total != spec.get("parallelism"):
            errors.append(invalid("spec.completions", total, "can only be modified in tandem with spec.parallelism"))
    else:
        unchanged(errors, spec.get("completions"), before.get("completions"), "spec.completions")
    unchanged(errors, spec.get("selector"), before.get("selector"), "spec.selector")
    if not _template_kept(spec.get("template") or {}, before, old):
        errors.append(invalid("spec.template", spec.get("template"), IMMUTABLE))
    for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        unchanged(errors, spec.get(name), before.get(name), f"spec.{name}")


def _template_kept(template: Obj, before: Obj, old: Obj) -> bool:
    was = before.get("template") or {}
    if template is was or template == was:
        return True
    if not before.get("suspend") or (old.get("status") or {}).get("startTime"):
        return False
    # scheduling directives of a Job that was suspended and never started may change (KEP-2926)

    def bare(one: Obj) -> Obj:
        pod = {key: value for key, value in (one.get("spec") or {}).items() if key not in _DIRECTIVES}
        meta = {key: value for key, value in (one.get("metadata") or {}).items() if key not in ("labels", "annotations")}
        return {**one, "spec": pod, "metadata": meta}

    return bare(template) == bare(was)


_BOUNDS = (("minute", 0, 59), ("hour", 0, 23), ("dom", 1, 31), ("month", 1, 12), ("dow", 0, 6))
_MONTHS = dict(zip(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], range(1, 13), strict=True))
_DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def schedule_error(schedule: str) -> str | None:
    """Return what cron.ParseStandard says about a schedule, or None if it is good."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        schedule = schedule.partition(" ")[2].strip()
    if schedule.startswith("@"):
        if schedule in _DESCRIPTORS:
            return None
        if schedule.startswith("@every "):
            ok = re.fullmatch(r"([0-9.]+(ns|us|µs|ms|s|m|h))+", schedule[7:])
            return None if ok else f"failed to parse duration {schedule}: time: invalid duration {shown(schedule[7:])}"
        return f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (name, low, high) in zip(fields, _BOUNDS, strict=True):
        names = _MONTHS if name == "month" else _DAYS if name == "dow" else {}
        for part in text.split(","):
            wrong = _range_error(part, low, high, names) if part else None
            if wrong:
                return wrong
    return None


def _range_error(part: str, low: int, high: int, names: dict[str, int]) -> str | None:
    pieces = part.split("/")
    ends = pieces[0].split("-")
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        numbers: list[int] = []
        for one in ends[:2]:
            if one.lower() in names:
                numbers.append(names[one.lower()])
                continue
            if not re.fullmatch(r"[+-]?[0-9]+", one):
                return f"failed to parse int from {one}: strconv.Atoi: parsing {shown(one)}: invalid syntax"
            if int(one) < 0:
                return f"negative number ({int(one)}) not allowed: {one}"
            numbers.append(int(one))
        if len(ends) > 2:
            return f"too many hyphens: {part}"
        start, end = numbers[0], numbers[-1]
        if len(ends) == 1 and len(pieces) == 2:
            end = high
    if len(pieces) > 2:
        return f"too many slashes: {part}"
    step = 1
    if len(pieces) == 2:
        if not re.fullmatch(r"[0-9]+", pieces[1]):
            return f"failed to parse int from {pieces[1]}: strconv.Atoi: parsing {shown(pieces[1])}: invalid syntax"
        step = int(pieces[1])
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return "step of range should be a positive number: " + part if step == 0 else None


def check_cronjob(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a CronJob's spec, and with a name too long for its Jobs."""
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name", "")
    schedule = spec.get("schedule", "")
    if not schedule:
        errors.append(required("spec.schedule"))
    else:
        wrong = schedule_error(schedule)
        if wrong:
            errors.append(invalid("spec.schedule", schedule, wrong))
        if "TZ" in schedule:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(invalid("spec.schedule", schedule, text))
    not_negative(errors, "spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    zone = spec.get("timeZone")
    if zone is not None:
        if not zone:
            errors.append(invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string"))
        elif any(
            part in (".", "..") or part.startswith("-") or not re.fullmatch(r"[A-Za-z.\-_0-9+]{1,14}", part) for part in zone.split("/")
        ):
            errors.append(invalid("spec.timeZone", zone, f"unknown time zone {zone}"))
        elif zone.lower() == "local":
            text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            errors.append(invalid("spec.timeZone", zone, text))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        allowed = ("Allow", "Forbid", "Replace")
        errors.append(unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), allowed))
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    _job_spec(errors, job, "spec.jobTemplate.spec")
    if job.get("selector") is not None:
        text = "`selector` will be auto-generated"
        errors.append(invalid("spec.jobTemplate.spec.selector", job["selector"], text))
    if job.get("manualSelector"):
        errors.append(unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    members_not_negative(errors, spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    if len(name) > 52:
        errors.append(invalid("metadata.name", name, "must be no more than 52 characters"))
