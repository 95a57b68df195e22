"""Names, labels, annotations, selectors: the rules that every kind shares.

Sources: k8s.io/apimachinery/pkg/util/validation/validation.go, pkg/apis/meta/v1/validation,
pkg/api/validation/objectmeta.go.
The checks of single strings return their messages as a tuple and are memoised.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, forbidden, invalid, required

Messages = tuple[str, ...]
Check = Callable[[str], Messages]
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_UNDERSCORED = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENDS = "and must start and end with an alphanumeric character"
IMMUTABLE = "field is immutable"


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """Return ``text`` with the examples and the pattern, as validation.RegexError words it."""
    shown = " or ".join(f"'{one}', " for one in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


_SUBDOMAIN_TEXT = regex_error(
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_TEXT = regex_error(
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}",
    _LABEL,
    "my-name",
    "123-abc",
)
_1035_TEXT = regex_error(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_TEXT = regex_error(
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}", _QUALIFIED, "MyName", "my.name", "123-abc"
)
_VALUE_TEXT = regex_error(
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}",
    f"({_QUALIFIED})?",
    "MyValue",
    "my_value",
    "12345",
)
_RE_LABEL, _RE_SUBDOMAIN, _RE_1035 = re.compile(_LABEL), re.compile(_SUBDOMAIN), re.compile(_1035)
_RE_QUALIFIED, _RE_UNDERSCORED = re.compile(_QUALIFIED), re.compile(rf"{_UNDERSCORED}(\.{_UNDERSCORED})*")


@lru_cache(maxsize=65536)
def dns_label(text: str) -> Messages:
    """RFC 1123 label (IsDNS1123Label)."""
    out = [_too_long(63)] if len(text) > 63 else []
    if not _RE_LABEL.fullmatch(text):
        out.append("must not contain dots" if _RE_SUBDOMAIN.fullmatch(text) else _LABEL_TEXT)
    return tuple(out)


@lru_cache(maxsize=65536)
def dns_subdomain(text: str) -> Messages:
    """RFC 1123 subdomain (IsDNS1123Subdomain)."""
    out = [_too_long(253)] if len(text) > 253 else []
    return tuple(out) if _RE_SUBDOMAIN.fullmatch(text) else (*out, _SUBDOMAIN_TEXT)


@lru_cache(maxsize=4096)
def dns_search(text: str) -> Messages:
    """Subdomain that may hold underscores (IsDNS1123SubdomainWithUnderscore)."""
    out = [_too_long(253)] if len(text) > 253 else []
    words = f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', {_ENDS}"
    pattern = rf"{_UNDERSCORED}(\.{_UNDERSCORED})*"
    return tuple(out) if _RE_UNDERSCORED.fullmatch(text) else (*out, regex_error(words, pattern, "example.com"))


@lru_cache(maxsize=4096)
def dns_wildcard(text: str) -> Messages:
    """``*.example.com`` (IsWildcardDNS1123Subdomain)."""
    out = [_too_long(253)] if len(text) > 253 else []
    if text.startswith("*.") and _RE_SUBDOMAIN.fullmatch(text[2:]):
        return tuple(out)
    words = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
        "which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return (*out, regex_error(words, r"\*\." + _SUBDOMAIN, "*.example.com"))


@lru_cache(maxsize=65536)
def dns_1035(text: str) -> Messages:
    """RFC 1035 label (IsDNS1035Label)."""
    out = [_too_long(63)] if len(text) > 63 else []
    return tuple(out) if _RE_1035.fullmatch(text) else (*out, _1035_TEXT)


@lru_cache(maxsize=4096)
def path_segment(text: str) -> Messages:
    """A name that may stand in a URL path (IsValidPathSegmentName)."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{one}'" for one in ("/", "%") if one in text)


@lru_cache(maxsize=65536)
def qualified_name(text: str) -> Messages:
    """``prefix/name``, as label keys (IsQualifiedName)."""
    parts = text.split("/")
    out: list[str] = []
    if len(parts) > 2:
        return (f"a qualified name {_QUALIFIED_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    if len(parts) == 2:
        if not parts[0]:
            out.append("prefix part must be non-empty")
        else:
            out += [f"prefix part {message}" for message in dns_subdomain(parts[0])]
    name = parts[-1]
    if not name:
        out.append("name part must be non-empty")
    elif len(name) > 63:
        out.append(f"name part {_too_long(63)}")
    if not _RE_QUALIFIED.fullmatch(name):
        out.append(f"name part {_QUALIFIED_TEXT}")
    return tuple(out)


@lru_cache(maxsize=65536)
def label_value(text: str) -> Messages:
    """Value of a label (IsValidLabelValue)."""
    out = [_too_long(63)] if len(text) > 63 else []
    return tuple(out) if not text or _RE_QUALIFIED.fullmatch(text) else (*out, _VALUE_TEXT)


@lru_cache(maxsize=65536)
def config_key(text: str) -> Messages:
    """Key of a ConfigMap or Secret (IsConfigMapKey)."""
    out = [_too_long(253)] if len(text) > 253 else []
    if not re.fullmatch(r"[-._a-zA-Z0-9]+", text):
        words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        out.append(regex_error(words, "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name"))
    if text in (".", ".."):
        out.append(f"must not be '{text}'")
    elif text.startswith(".."):
        out.append("must not start with '..'")
    return tuple(out)


@lru_cache(maxsize=65536)
def env_name(text: str) -> Messages:
    """Name of an environment variable, relaxed form (IsRelaxedEnvVarName)."""
    if not text:
        return ("environment variable name must be non-empty",)
    for char in text:
        if not " " <= char <= "~" or char == "=":
            return ("a valid environment variable name must consist only of printable ASCII characters other than '='",)
    return ()


@lru_cache(maxsize=4096)
def port_name(text: str) -> Messages:
    """Name of a port, IANA_SVC_NAME (IsValidPortName)."""
    out = [_too_long(15)] if len(text) > 15 else []
    if not re.fullmatch(r"[-a-z0-9]+", text):
        out.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        out.append("must contain at least one letter (a-z)")
    if "--" in text:
        out.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        out.append("must not begin or end with a hyphen")
    return tuple(out)


@lru_cache(maxsize=4096)
def is_ip(text: str) -> bool:
    """Tell whether ``text`` is an IP address as Go's net.ParseIP (lenient about leading zeros) reads it."""
    try:
        ipaddress.ip_address(re.sub(r"(?<![0-9a-fA-F:.])0+(?=\d+\.)|(?<=\.)0+(?=\d)", "", text) if "." in text else text)
    except ValueError:
        return False
    return "%" not in text


def range_error(low: int, high: int) -> str:
    """Return the text for a number out of range."""
    return f"must be between {low} and {high}, inclusive"


def each_message(errors: Errors, path: str, value: str, messages: Messages) -> None:
    """Add one ``Invalid value`` per message."""
    for message in messages:
        errors.append(invalid(path, value, message))


def port_number(errors: Errors, path: str, value: Any) -> None:
    """Add an error unless ``value`` is 1 to 65535."""
    if not 1 <= (value or 0) <= 65535:
        errors.append(invalid(path, value or 0, range_error(1, 65535)))


def not_negative(errors: Errors, path: str, value: Any) -> None:
    """Add an error if ``value`` is a number below zero."""
    if value is not None and value < 0:
        errors.append(invalid(path, value, "must be greater than or equal to 0"))


def members_not_negative(errors: Errors, part: Obj, path: str, *names: str) -> None:
    """Add an error for each of the named members that is below zero."""
    for name in names:
        if part.get(name, 0) < 0:
            not_negative(errors, f"{path}.{name}", part[name])


def check_labels(errors: Errors, labels: Obj | None, path: str) -> None:
    """Add what is wrong with a map of labels (ValidateLabels)."""
    for key, value in (labels or {}).items():
        each_message(errors, path, key, qualified_name(key))
        if value:
            each_message(errors, path, value, label_value(value))


def check_annotations(errors: Errors, annotations: Obj | None, path: str) -> None:
    """Add what is wrong with annotations: keys, and 256 KiB in all."""
    if not annotations:
        return
    size = 0
    for key, value in annotations.items():
        each_message(errors, path, key, qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > 256 * 1024:
        from kchaos.models.api.validation.field import too_long

        errors.append(too_long(path, 256 * 1024))


def check_selector(errors: Errors, selector: Obj | None, path: str) -> None:
    """Add what is wrong with a metav1.LabelSelector (ValidateLabelSelector)."""
    if not selector:
        return
    check_labels(errors, selector.get("matchLabels"), f"{path}.matchLabels")
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden(f"{where}.values", text))
        else:
            errors.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
        each_message(errors, f"{where}.key", one.get("key", ""), qualified_name(one.get("key", "")))
        for position, value in enumerate(values):
            each_message(errors, f"{where}.values[{position}]", value, label_value(value))


def unchanged(errors: Errors, new: Any, old: Any, path: str) -> None:
    """Add an error if a member that must stay has changed (ValidateImmutableField)."""
    if new is not old and new != old:
        errors.append(invalid(path, new, IMMUTABLE))
