"""Admission webhooks as simulated services: a table says what each answers; configurations say whom they are asked about.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{generic,mutating,validating,predicates}. A service that no table
names answers "allowed" and changes nothing: what it would do is not known. (A ValidatingWebhook's conditions in CEL are not read.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.patch import json_patch
from kchaos.models.api.request import Request
from kchaos.models.api.resources import BY_PLURAL, Resource
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.security.rbac import Tables


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service says to objects of ``kind`` (empty: all) where every path of ``where`` has its value: a denial or a JSON patch."""

    kind: str = ""
    where: tuple[tuple[tuple[str, ...], Any], ...] = ()
    deny: str = ""
    patch: tuple[Obj, ...] = ()

    def meant(self, obj: Obj) -> bool:
        """Tell whether the answer is for this object."""
        return self.kind in ("", obj.get("kind")) and all(get(obj, *path) == value for path, value in self.where)


@dataclass(slots=True)
class Service:
    """A simulated webhook server; the first answer that is meant counts. ``delay_s`` against the caller's time-out."""

    answers: tuple[Answer, ...] = ()
    up: bool = True
    delay_s: float = 0.0
    asked: int = field(default=0)
    hung: int = 0
    """Faults under which it does not answer in time."""
    refusing: int = 0
    """Faults under which nothing listens there."""

    @property
    def listens(self) -> bool:
        """Tell whether a connection is taken."""
        return self.up and not self.refusing

    def waits_s(self, timeout_s: float) -> float:
        """Return how long its caller waits for an answer, or in vain."""
        return 0.0 if not self.listens else timeout_s if self.hung else min(self.delay_s, timeout_s)


def place_of(hook: Obj) -> str:
    """Return the service behind a webhook as ``namespace/name``, or its URL."""
    config = hook.get("clientConfig") or {}
    service = config.get("service")
    return f"{service.get('namespace')}/{service.get('name')}" if service else str(config.get("url", ""))


def timeout_s(hook: Obj) -> float:
    """Return how long a webhook's answer is waited for."""
    return float(hook.get("timeoutSeconds", 10))


def matches_rules(hook: Obj, resource: Resource, request: Request, operation: str) -> bool:
    """Tell whether a webhook's rules select a request."""
    wanted = f"{resource.plural}/{request.subresource}" if request.subresource else resource.plural
    for rule in hook.get("rules") or ():
        names = rule.get("resources") or ()
        if not request.subresource:
            fits = wanted in names or "*" in names or "*/*" in names
        else:
            fits = bool({wanted, f"*/{request.subresource}", f"{resource.plural}/*", "*/*"} & set(names))
        scope = rule.get("scope", "*")
        if (
            fits
            and bool({operation, "*"} & set(rule.get("operations") or ()))
            and bool({resource.group, "*"} & set(rule.get("apiGroups") or ()))
            and bool({resource.version, "*"} & set(rule.get("apiVersions") or ()))
            and scope in ("*", "Namespaced" if resource.namespaced else "Cluster")
        ):
            return True
    return False


_OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}


class Webhooks:
    """All configurations of the store, and the services behind them by ``namespace/name`` or URL."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.services: dict[str, Service] = {}

    def _hooks(self, kind: str, resource: Resource, request: Request, obj: Obj, operation: str) -> Iterator[Obj]:
        if resource.group == "admissionregistration.k8s.io" and "webhookconfigurations" in resource.plural:
            return
        for _, configuration in sorted(self._tables(kind).items()):
            for hook in configuration.get("webhooks") or ():
                if not matches_rules(hook, resource, request, operation):
                    continue
                labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
                if hook.get("objectSelector") and not compile_selector(hook["objectSelector"])(labels):
                    continue
                if hook.get("namespaceSelector") and (resource.namespaced or resource.plural == "namespaces"):
                    space = obj if resource.plural == "namespaces" else self._tables("namespaces").get(request.namespace)
                    names = get(space, "metadata", "labels", default={})
                    if not compile_selector(hook["namespaceSelector"])(names):
                        continue
                yield hook

    def _ask(self, hook: Obj, obj: Obj) -> Answer | None:
        """Return the answer, None for none. Raises 500 if the call fails and the webhook's failurePolicy is Fail."""
        config = hook.get("clientConfig") or {}
        service = config.get("service")
        known = self.services.get(place_of(hook))
        if known is None:
            return None
        known.asked += 1
        seconds = hook.get("timeoutSeconds", 10)
        if known.listens and known.waits_s(seconds) < seconds:
            return next((one for one in known.answers if one.meant(obj)), None)
        if hook.get("failurePolicy", "Fail") == "Ignore":
            return None
        if service:
            port = service.get("port", 443)
            url = f"https://{service['name']}.{service['namespace']}.svc:{port}{service.get('path', '')}"
        else:
            url = config.get("url", "")
        why = "context deadline exceeded" if known.listens else "dial tcp: connect: connection refused"
        text = f'failed calling webhook "{hook["name"]}": failed to call webhook: Post "{url}?timeout={seconds}s": {why}'
        raise ApiError("InternalError", f"Internal error occurred: {text}")

    def places(self) -> list[str]:
        """Return the services behind all webhooks of the store."""
        tables = (self._tables("mutatingwebhookconfigurations"), self._tables("validatingwebhookconfigurations"))
        hooks = (hook for table in tables for _, one in sorted(table.items()) for hook in one.get("webhooks") or ())
        return list(dict.fromkeys(place_of(hook) for hook in hooks))

    def wait_s(self, request: Request) -> float:
        """Return how long a request waits for webhooks: for mutating ones one after another, for validating ones at once.

        Selectors are asked of what the request carries: of a patch or a deletion that is nothing.
        """
        operation = _OPERATIONS.get(request.verb, "")
        resource = BY_PLURAL.get(request.resource)
        if not operation or resource is None or not any(one.hung or one.delay_s for one in self.services.values()):
            return 0.0
        body = request.body if isinstance(request.body, dict) and isinstance(request.body.get("metadata"), dict) else {"metadata": {}}

        def waits(kind: str) -> list[float]:
            hooks = self._hooks(kind, resource, request, body, operation)
            return [self.services[place].waits_s(timeout_s(hook)) for hook in hooks if (place := place_of(hook)) in self.services]

        return sum(waits("mutatingwebhookconfigurations")) + max(waits("validatingwebhookconfigurations"), default=0.0)

    @staticmethod
    def _denied(hook: Obj, answer: Answer) -> ApiError:
        return ApiError("Forbidden", f'admission webhook "{hook["name"]}" denied the request: {answer.deny}')

    def mutate(self, resource: Resource, request: Request, obj: Obj, operation: str) -> Obj:
        """Return the object after all mutating webhooks, one after another; those with IfNeeded once more if others changed it."""
        if not self._tables("mutatingwebhookconfigurations"):
            return obj
        again: list[tuple[Obj, Obj]] = []
        for hook in self._hooks("mutatingwebhookconfigurations", resource, request, obj, operation):
            obj = self._apply(hook, obj)
            again.append((hook, obj))
        for hook, after in again:
            if hook.get("reinvocationPolicy") == "IfNeeded" and obj != after:
                obj = self._apply(hook, obj)
        return obj

    def _apply(self, hook: Obj, obj: Obj) -> Obj:
        answer = self._ask(hook, obj)
        if answer is None:
            return obj
        if answer.deny:
            raise self._denied(hook, answer)
        changed: Obj = json_patch(obj, list(answer.patch)) if answer.patch else obj
        return changed

    def validate(self, resource: Resource, request: Request, obj: Obj, operation: str) -> None:
        """Ask all validating webhooks. Raises 403 or 500."""
        if not self._tables("validatingwebhookconfigurations"):
            return
        for hook in self._hooks("validatingwebhookconfigurations", resource, request, obj, operation):
            answer = self._ask(hook, obj)
            if answer is not None and answer.deny:
                raise self._denied(hook, answer)
