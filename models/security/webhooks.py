"""Admission webhooks as simulated services: a table says what each answers; configurations say whom they are asked about.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{generic,mutating,validating,predicates}. A webhook whose Service is
backed by pods of the cluster answers "allowed" while they serve, unless a table says otherwise, and fails the call while they do not.
One of which nothing is known answers "allowed" and changes nothing. (A ValidatingWebhook's conditions in CEL are not read.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec

from kchaos.models.api.errors import ApiError
from kchaos.models.api.patch import json_patch
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
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


Answering = Literal["allow", "deny", "timeout"]
ANSWERS: tuple[str, ...] = get_args(Answering)
DENIAL = "denied, as kchaos.yaml says"


class WebhookTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What kchaos.yaml says of a webhook."""

    answers: Answering = "allow"
    latency_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """How long it takes to answer; longer than its timeoutSeconds is no answer."""
    patch: tuple[dict[str, Any], ...] = ()
    """Operations of a JSON patch (RFC 6902) on each object that it is asked about."""
    down_with: str = ""
    """``Kind/namespace/name`` of the workload that answers it, if its Service does not tell."""


class Backends:
    """Who answers webhooks. This one knows nobody."""

    def reach(self, place: str, turn: int) -> str | None:
        """Return how the ``turn``-th call of a Service (``namespace/name``) fares: "", refused, timeout; None if nothing is known of it."""
        return None

    def serves(self, workload: str) -> bool:
        """Tell whether any pod of a workload (``Kind/namespace/name``) answers."""
        return False


class Hook(NamedTuple):
    """A webhook that is to be asked, and what the user says of it."""

    spec: Obj
    table: WebhookTable | None


def place_of(hook: Obj) -> str:
    """Return where a webhook is: ``namespace/name`` of its Service, or its URL."""
    config = hook.get("clientConfig") or {}
    service = config.get("service")
    return f"{service.get('namespace')}/{service.get('name')}" if service else str(config.get("url", ""))


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


class Webhooks:
    """All configurations of the store, and the services behind them by ``namespace/name`` or URL.

    ``said``: what the user says, by the name of a webhook or of its configuration. ``spent_s`` adds up how long callers waited.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.services: dict[str, Service] = {}
        self.said: Mapping[str, WebhookTable] = {}
        self.backends = Backends()
        self.spent_s = 0.0
        self._asked: dict[str, int] = {}

    def _hooks(self, kind: str, resource: Resource, request: Request, obj: Obj, operation: str) -> Iterator[Hook]:
        if resource.group == "admissionregistration.k8s.io" and "webhookconfigurations" in resource.plural:
            return
        for key, configuration in sorted(self._tables(kind).items()):
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
                yield Hook(hook, self.said.get(hook["name"]) or self.said.get(key))

    def _service(self, place: str, table: WebhookTable | None) -> Service | None:
        """Return who answers at a place now, None if nothing is known of it."""
        known = self.services.get(place)
        if known is not None:
            return known
        turn = self._asked[place] = self._asked.get(place, -1) + 1
        if table is not None and table.down_with:
            how: str | None = "" if self.backends.serves(table.down_with) else "refused"
        else:
            how = self.backends.reach(place, turn)
        if table is None and how is None:
            return None
        table = table or WebhookTable()
        late = how == "timeout" or table.answers == "timeout"
        answers = (Answer(deny=DENIAL),) if table.answers == "deny" else (Answer(patch=table.patch),)
        return Service(answers, how != "refused", float("inf") if late else table.latency_s)

    def _ask(self, hook: Hook, obj: Obj) -> Answer | None:
        """Return the answer, None for none. Raises 500 if the call fails and the webhook's failurePolicy is Fail."""
        spec, place = hook.spec, place_of(hook.spec)
        known = self._service(place, hook.table)
        if known is None:
            return None
        known.asked += 1
        seconds = spec.get("timeoutSeconds", 10)
        if known.up:
            self.spent_s += min(known.delay_s, seconds)
        if known.up and known.delay_s < seconds:
            return next((one for one in known.answers if one.meant(obj)), None)
        if spec.get("failurePolicy", "Fail") == "Ignore":
            return None
        service = (spec.get("clientConfig") or {}).get("service")
        if service:
            url = f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}{service.get('path', '')}"
        else:
            url = place
        why = "context deadline exceeded" if known.up else "dial tcp: connect: connection refused"
        text = f'failed calling webhook "{spec["name"]}": failed to call webhook: Post "{url}?timeout={seconds}s": {why}'
        raise ApiError("InternalError", f"Internal error occurred: {text}")

    @staticmethod
    def _denied(hook: Hook, answer: Answer) -> ApiError:
        return ApiError("Forbidden", f'admission webhook "{hook.spec["name"]}" denied the request: {answer.deny}')

    def mutate(self, resource: Resource, request: Request, obj: Obj, operation: str) -> Obj:
        """Return the object after all mutating webhooks, one after another; those with IfNeeded once more if others changed it."""
        if not self._tables("mutatingwebhookconfigurations"):
            return obj
        again: list[tuple[Hook, Obj]] = []
        for hook in self._hooks("mutatingwebhookconfigurations", resource, request, obj, operation):
            obj = self._apply(hook, obj)
            again.append((hook, obj))
        for hook, after in again:
            if hook.spec.get("reinvocationPolicy") == "IfNeeded" and obj != after:
                obj = self._apply(hook, obj)
        return obj

    def _apply(self, hook: Hook, obj: Obj) -> Obj:
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
