"""Where a pod may run: node selectors, affinity, tolerations, topology spread (pkg/apis/core/validation)."""

from __future__ import annotations

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, duplicate, forbidden, invalid, required, unsupported
from kchaos.models.api.validation.names import (
    check_selector,
    dns_label,
    dns_subdomain,
    each_message,
    label_value,
    qualified_name,
)

_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NOT_OPERATOR = "not a valid selector operator"


def _node_requirement(errors: Errors, one: Obj, path: str, values_too: bool) -> None:
    operator, values = one.get("operator", ""), one.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    else:
        errors.append(invalid(f"{path}.operator", operator, _NOT_OPERATOR))
    each_message(errors, f"{path}.key", one.get("key", ""), qualified_name(one.get("key", "")))
    if values_too:
        for index, value in enumerate(values):
            each_message(errors, f"{path}.values[{index}]", value, label_value(value))


def _node_field(errors: Errors, one: Obj, path: str) -> None:
    operator, values = one.get("operator", ""), one.get("values") or []
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{path}.operator", operator, _NOT_OPERATOR))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", text))
    if one.get("key") != "metadata.name":
        errors.append(invalid(f"{path}.key", one.get("key", ""), "not a valid field selector key"))
    else:
        for index, value in enumerate(values):
            each_message(errors, f"{path}.values[{index}]", value, dns_subdomain(value))


def _node_term(errors: Errors, term: Obj, path: str, values_too: bool) -> None:
    for index, one in enumerate(term.get("matchExpressions") or ()):
        _node_requirement(errors, one, f"{path}.matchExpressions[{index}]", values_too)
    for index, one in enumerate(term.get("matchFields") or ()):
        _node_field(errors, one, f"{path}.matchFields[{index}]")


def check_node_selector(errors: Errors, selector: Obj, path: str) -> None:
    """Add what is wrong with a NodeSelector (required node affinity of pods and volumes)."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms):
        _node_term(errors, term, f"{path}.nodeSelectorTerms[{index}]", True)


def _pod_term(errors: Errors, term: Obj, path: str) -> None:
    check_selector(errors, term.get("labelSelector"), f"{path}.labelSelector")
    check_selector(errors, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        each_message(errors, f"{path}.namespace", name, dns_label(name))
    for key in ("matchLabelKeys", "mismatchLabelKeys"):
        _label_keys(errors, term, path, key)
    other = term.get("mismatchLabelKeys") or ()
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in other:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(invalid(f"{path}.matchLabelKeys[{index}]", key, text))
    topology = term.get("topologyKey", "")
    if not topology:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    each_message(errors, f"{path}.topologyKey", topology, qualified_name(topology))


def _label_keys(errors: Errors, term: Obj, path: str, name: str) -> None:
    keys = term.get(name)
    if not keys:
        return
    if term.get("labelSelector") is None:
        errors.append(forbidden(f"{path}.{name}", "must not be specified when labelSelector is not set"))
        return
    for index, key in enumerate(keys):
        each_message(errors, f"{path}.{name}[{index}]", key, qualified_name(key))


def _weight(errors: Errors, one: Obj, path: str) -> None:
    if not 1 <= one.get("weight", 0) <= 100:
        errors.append(invalid(f"{path}.weight", one.get("weight", 0), "must be in the range 1-100"))


def check_affinity(errors: Errors, affinity: Obj, path: str) -> None:
    """Add what is wrong with an Affinity."""
    node = affinity.get("nodeAffinity")
    if node is not None:
        if node.get(_REQUIRED) is not None:
            check_node_selector(errors, node[_REQUIRED], f"{path}.nodeAffinity.{_REQUIRED}")
        for index, one in enumerate(node.get(_PREFERRED) or ()):
            where = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
            _weight(errors, one, where)
            _node_term(errors, one.get("preference") or {}, f"{where}.preference", False)
    for key in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(key)
        if pods is None:
            continue
        for index, one in enumerate(pods.get(_REQUIRED) or ()):
            _pod_term(errors, one, f"{path}.{key}.{_REQUIRED}[{index}]")
        for index, one in enumerate(pods.get(_PREFERRED) or ()):
            where = f"{path}.{key}.{_PREFERRED}[{index}]"
            _weight(errors, one, where)
            _pod_term(errors, one.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def check_tolerations(errors: Errors, tolerations: list[Obj], path: str) -> None:
    """Add what is wrong with tolerations."""
    for index, one in enumerate(tolerations):
        where = f"{path}[{index}]"
        key, operator, effect, value = (one.get(name, "") for name in ("key", "operator", "effect", "value"))
        if key:
            each_message(errors, f"{where}.key", key, qualified_name(key))
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{where}.operator", operator, text))
        if one.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(invalid(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        if operator in ("Equal", ""):
            messages = label_value(value)
            if messages:
                errors.append(invalid(f"{where}.operator", value, ";".join(messages)))
        elif operator == "Exists":
            if value:
                errors.append(invalid(f"{where}.operator", value, "value must be empty when `operator` is 'Exists'"))
        else:
            errors.append(unsupported(f"{where}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            errors.append(unsupported(f"{where}.effect", effect, _EFFECTS))


def check_taints(errors: Errors, taints: list[Obj], path: str) -> None:
    """Add what is wrong with the taints of a node."""
    seen: dict[tuple[str, str], None] = {}
    for index, one in enumerate(taints):
        where, key, effect = f"{path}[{index}]", one.get("key", ""), one.get("effect", "")
        each_message(errors, f"{where}.key", key, qualified_name(key))
        each_message(errors, f"{where}.value", one.get("value", ""), label_value(one.get("value", "")))
        if not effect:
            errors.append(required(f"{where}.effect"))
        elif effect not in _EFFECTS:
            errors.append(unsupported(f"{where}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            error = duplicate(where, one)
            text = "taints must be unique by key and effect pair"
            errors.append(type(error)(error.path, error.type, text, one))
        seen[(key, effect)] = None


def check_spread(errors: Errors, constraints: list[Obj], path: str) -> None:
    """Add what is wrong with topologySpreadConstraints."""
    actions = ("DoNotSchedule", "ScheduleAnyway")
    for index, one in enumerate(constraints):
        where = f"{path}[{index}]"
        skew, key, action = one.get("maxSkew", 0), one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")
        if skew <= 0:
            errors.append(invalid(f"{where}.maxSkew", skew, "must be greater than zero"))
        if not key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        if action not in actions:
            errors.append(unsupported(f"{where}.whenUnsatisfiable", action, actions))
        for other in constraints[index + 1 :]:
            if other.get("topologyKey", "") == key and other.get("whenUnsatisfiable", "") == action:
                errors.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
                break
        domains = one.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.append(invalid(f"{where}.minDomains", domains, "must be greater than zero"))
            if action != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(invalid(f"{where}.minDomains", domains, text))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if one.get(name) not in (None, "Honor", "Ignore"):
                errors.append(unsupported(f"{where}.{name}", one[name], ("Honor", "Ignore")))
        _label_keys(errors, one, where, "matchLabelKeys")
        check_selector(errors, one.get("labelSelector"), f"{where}.labelSelector")
