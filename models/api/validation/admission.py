"""Webhook configurations and admission policies, without their CEL (pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, duplicate, forbidden, invalid, required, unsupported
from kchaos.models.api.validation.names import check_selector, dns_subdomain, each_message, qualified_name

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_POLICIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("failurePolicy", ("Fail", "Ignore")),
    ("matchPolicy", ("Equivalent", "Exact")),
    ("sideEffects", ("None", "NoneOnDryRun")),
)
_ONE_OF = "validations or auditAnnotations must contain at least one item"


def _wildcard(errors: Errors, values: list[str], path: str, what: str) -> None:
    if not values:
        errors.append(required(path))
    if len(values) > 1 and "*" in values:
        errors.append(invalid(path, values, f"if '*' is present, must not specify other {what}"))


def _resources(errors: Errors, values: list[str], path: str) -> None:
    if not values:
        errors.append(required(path))
    plain = False
    for index, one in enumerate(values):
        if not one:
            errors.append(required(f"{path}[{index}]"))
        elif "/" not in one:
            plain = one != "*"
    if len(values) > 1 and "*/*" in values:
        errors.append(invalid(path, values, "if '*/*' is present, must not specify other resources"))
    if "*" in values and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, values, text))


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    operations = rule.get("operations") or []
    _wildcard(errors, operations, f"{path}.operations", "operations")
    for index, one in enumerate(operations):
        if one not in _OPERATIONS:
            errors.append(unsupported(f"{path}.operations[{index}]", one, _OPERATIONS))
    _wildcard(errors, rule.get("apiGroups") or [], f"{path}.apiGroups", "API groups")
    _wildcard(errors, rule.get("apiVersions") or [], f"{path}.apiVersions", "API versions")
    _resources(errors, rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope", "*") not in ("*", "Cluster", "Namespaced"):
        errors.append(unsupported(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced")))


def _client(errors: Errors, config: Obj, path: str) -> None:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif url is not None:
        scheme, found, _ = url.partition("://")
        if not found or scheme != "https":
            text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            errors.append(invalid(f"{path}.url", scheme if found else "", text))
    elif service is not None:
        for name in ("name", "namespace"):
            if not service.get(name):
                errors.append(required(f"{path}.service.{name}", f"service {name} is required"))


def _hook(errors: Errors, hook: Obj, path: str, mutating: bool) -> None:
    name = hook.get("name", "")
    if not name:
        errors.append(required(f"{path}.name"))
    elif dns_subdomain(name):
        errors.append(invalid(f"{path}.name", name, ",".join(dns_subdomain(name))))
    elif name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        errors.append(invalid(f"{path}.name", name, text))
    for index, rule in enumerate(hook.get("rules") or ()):
        _rule(errors, rule, f"{path}.rules[{index}]")
    for key, allowed in _POLICIES:
        value = hook.get(key)
        if value is None and key == "sideEffects":
            errors.append(required(f"{path}.{key}", "must specify one of None, NoneOnDryRun"))
        elif value is not None and value not in allowed:
            errors.append(unsupported(f"{path}.{key}", value, allowed))
    seconds = hook.get("timeoutSeconds", 10)
    if not 1 <= seconds <= 30:
        errors.append(invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds"))
    for key in ("namespaceSelector", "objectSelector"):
        check_selector(errors, hook.get(key), f"{path}.{key}")
    again = hook.get("reinvocationPolicy")
    if mutating and again not in (None, "IfNeeded", "Never"):
        errors.append(unsupported(f"{path}.reinvocationPolicy", again, ("IfNeeded", "Never")))
    _client(errors, hook.get("clientConfig") or {}, f"{path}.clientConfig")


def check_webhooks(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Mutating- or ValidatingWebhookConfiguration."""
    names: dict[str, None] = {}
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, versions = f"webhooks[{index}]", hook.get("admissionReviewVersions") or []
        _hook(errors, hook, path, obj.get("kind") == "MutatingWebhookConfiguration")
        if not versions:
            text = "must specify one of v1, v1beta1"
            errors.append(required(f"{path}.admissionReviewVersions", text))
        elif "v1" not in versions and "v1beta1" not in versions:
            text = "must include at least one of v1, v1beta1"
            errors.append(invalid(f"{path}.admissionReviewVersions", versions, text))
        if hook.get("name", "") in names:
            errors.append(duplicate(f"{path}.name", hook["name"]))
        names[hook.get("name", "")] = None


def check_policy(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ValidatingAdmissionPolicy; its expressions are not compiled."""
    spec = obj.get("spec") or {}
    if spec.get("failurePolicy") not in ("Fail", "Ignore"):
        errors.append(unsupported("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore")))
    kind = spec.get("paramKind")
    if kind is not None:
        for name in ("apiVersion", "kind"):
            if not kind.get(name):
                errors.append(required(f"spec.paramKind.{name}"))
    match = spec.get("matchConstraints")
    if match is None:
        errors.append(required("spec.matchConstraints"))
    elif not match.get("resourceRules"):
        errors.append(required("spec.matchConstraints.resourceRules"))
    for index, rule in enumerate((match or {}).get("resourceRules") or ()):
        _rule(errors, rule, f"spec.matchConstraints.resourceRules[{index}]")
    for index, one in enumerate(spec.get("matchConditions") or ()):
        name = one.get("name", "")
        each_message(errors, f"spec.matchConditions[{index}].name", name, qualified_name(name))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        errors.append(required("spec.validations", _ONE_OF))
        errors.append(required("spec.auditAnnotations", _ONE_OF))
    for index, one in enumerate(spec.get("validations") or ()):
        if not one.get("expression", "").strip():
            errors.append(required(f"spec.validations[{index}].expression", "expression is not specified"))
    prefix = (obj.get("metadata") or {}).get("name", "")
    for index, one in enumerate(spec.get("auditAnnotations") or ()):
        key = f"{prefix}/{one.get('key', '')}"
        each_message(errors, f"spec.auditAnnotations[{index}].key", key, qualified_name(key))


def check_policy_binding(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ValidatingAdmissionPolicyBinding."""
    spec = obj.get("spec") or {}
    if not spec.get("policyName"):
        errors.append(required("spec.policyName"))
    else:
        each_message(errors, "spec.policyName", spec["policyName"], dns_subdomain(spec["policyName"]))
    ref = spec.get("paramRef")
    if ref is not None and ref.get("name") and ref.get("selector") is not None:
        for name in ("name", "selector"):
            errors.append(forbidden(f"spec.paramRef.{name}", "name and selector are mutually exclusive"))
    actions = spec.get("validationActions") or []
    if not actions:
        errors.append(required("spec.validationActions", "at least one validation action is required"))
    for index, one in enumerate(actions):
        if one not in ("Audit", "Deny", "Warn"):
            errors.append(unsupported(f"spec.validationActions[{index}]", one, ("Audit", "Deny", "Warn")))
        if one in actions[:index]:
            errors.append(duplicate(f"spec.validationActions[{index}]", one))
