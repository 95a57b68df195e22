"""API calls of an application's pods: what they ask of the API server, under their service account, while a container of theirs runs.

One process on each node sends the calls of its pods, over the network and through authentication, authorisation and admission like any
other request. What is written is sent as a dry run: what an application writes is not known, whether it may is. A call that is *needed*
keeps its pod from serving, and its readiness probe from succeeding, until it is answered; liveness and startup probes do not follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Request
from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.tree import Obj
from kchaos.models.client.client import Client
from kchaos.models.node.apicall import READS, ApiCall
from kchaos.models.node.machine import PodMachine
from kchaos.models.security.authentication import ServiceAccountToken
from kchaos.runtime import Runtime

RETRY_S = 2.0
"""A needed call that was not answered is sent again after this long, if its own interval is longer."""
WATCH_OPEN_S = 1.0
"""A watch that has not ended after this long is open: of one that has nothing to tell, the server says nothing."""
WATCH_BACKOFF_S = (0.8, 30.0)
"""A watch that ends is opened again after this long, twice as long each time, at most the second (client-go's reflector)."""
_ANSWERED = (400, 404, 405, 409, 415, 422)
"""Codes that say no more than that what was sent is not what the application sends; for a read, 404 says that it is not there."""


Mark = Callable[..., None]
TokenOf = Callable[[Obj], ServiceAccountToken]
Stored = Callable[[str, str], Obj | None]
"""Called with (plural, key): the object as the application has last read it."""
Held = Callable[[PodMachine, bool], None]


class _Caller:
    """The calls of one pod: since when its containers run, and how each call was last answered."""

    def __init__(self, machine: PodMachine, token: ServiceAccountToken, held: Held, unknown: bool) -> None:
        self.machine = machine
        self.calls: tuple[ApiCall, ...] = machine.assumptions.calls
        self.token = token
        self.held = held
        self.good = [unknown or not call.needed for call in self.calls]
        self.state = [""] * len(self.calls)
        self.over = False
        self.close: dict[int, Callable[[], None]] = {}
        self.backoff_s = [WATCH_BACKOFF_S[0]] * len(self.calls)
        self.opened = [0] * len(self.calls)

    @property
    def waits(self) -> bool:
        """Tell whether a needed call has no good answer."""
        return any(call.needed and not good for call, good in zip(self.calls, self.good, strict=True))


class PodCalls:
    """All calls of the pods of one node. ``token_of`` gives a pod its token when it starts, as the kubelet does."""

    def __init__(self, rt: Runtime, servers: tuple[str, ...], first: int, token_of: TokenOf, stored: Stored, mark: Mark) -> None:
        self._rt = rt
        self._client = Client(rt, servers, first)
        self._token_of = token_of
        self._stored = stored
        self._mark = mark
        self._callers: dict[str, _Caller] = {}

    # -- life ----------------------------------------------------------------------------------------------------------

    def begin(self, machine: PodMachine, held: Held, adopted: bool = False) -> None:
        """A container of a pod runs; ``adopted``: it has done so for long, and its needed calls were answered unless it was held."""
        if machine.uid in self._callers:
            return
        caller = self._callers[machine.uid] = _Caller(machine, self._token_of(machine.pod), held, adopted and not machine.held)
        held(machine, caller.waits)
        for index in range(len(caller.calls)):
            self._rt.call_soon(self._send, caller, index)

    def changed(self, machine: PodMachine) -> None:
        """A container of a pod ended: with the last one its calls end."""
        caller = self._callers.get(machine.uid)
        if caller is None or any(c.state == "running" for c in machine.app):
            return
        caller.over = True
        for close in caller.close.values():
            close()
        del self._callers[machine.uid]

    # -- requests --------------------------------------------------------------------------------------------------------

    def _send(self, caller: _Caller, index: int) -> None:
        if caller.over:
            return
        call = caller.calls[index]
        if call.verb == "watch":
            self._watch(caller, index)
            return
        sent_s = self._rt.now()
        self._client.call(self._request(caller, call), lambda _, error: self._answered(caller, index, sent_s, error))

    def _request(self, caller: _Caller, call: ApiCall) -> Request:
        space = call.space(caller.token.namespace)
        options: Obj = {} if call.verb in READS else {"dry_run": True}
        name = call.name
        if name and call.verb in ("list", "deletecollection"):  # narrowed to one by a field selector, which roles may allow
            options["field_selector"], name = f"metadata.name={name}", ""
        body = None
        if call.verb in ("create", "update"):
            body = self._body(call, space)
        elif call.verb == "patch":
            body, options["patch_type"] = {}, "merge"
        if call.verb == "create" and not call.subresource:
            name = ""
        return Request(call.verb, call.resource, space, name, call.subresource, body, options, credential=caller.token)

    def _body(self, call: ApiCall, space: str) -> Obj:
        known = BY_PLURAL.get(call.resource)
        stored = self._stored(call.resource, f"{space}/{call.name}" if space else call.name)
        if stored is not None and call.verb == "update":
            return stored
        meta: Obj = {"name": call.name} if call.name else {"generateName": "call-"}
        return {"apiVersion": known.api_version if known else "", "kind": known.kind if known else "", "metadata": meta}

    def _answered(self, caller: _Caller, index: int, sent_s: float, error: ApiError | None) -> None:
        if caller.over:
            return
        self._judge(caller, index, error)
        call = caller.calls[index]
        wait = min(call.every_s, RETRY_S) if call.needed and not caller.good[index] else call.every_s
        self._rt.call_later(max(0.0, sent_s + wait - self._rt.now()), self._send, caller, index, background=True)

    # -- watches ---------------------------------------------------------------------------------------------------------

    def _watch(self, caller: _Caller, index: int) -> None:
        call = caller.calls[index]
        caller.opened[index] += 1
        turn = caller.opened[index]
        fields = f"metadata.name={call.name}" if call.name else ""
        caller.close[index] = self._client.watch(
            call.resource, 0, lambda _: self._opened(caller, index, turn), lambda status: self._ended(caller, index, status),
            call.space(caller.token.namespace), "", fields, credential=caller.token,
        )  # fmt: skip
        self._rt.call_later(WATCH_OPEN_S, self._opened, caller, index, turn, background=True)

    def _opened(self, caller: _Caller, index: int, turn: int) -> None:
        if not caller.over and index in caller.close and caller.opened[index] == turn:
            caller.backoff_s[index] = WATCH_BACKOFF_S[0]
            self._judge(caller, index, None)

    def _ended(self, caller: _Caller, index: int, status: Obj | None) -> None:
        caller.close.pop(index, None)
        if caller.over:
            return
        lost = ApiError("ConnectionLost", "the watch ended without an answer", code=0)
        self._judge(caller, index, ApiError.from_status(status) if status is not None else lost)
        wait = caller.backoff_s[index]
        caller.backoff_s[index] = min(wait * 2, WATCH_BACKOFF_S[1])
        self._rt.call_later(wait, self._send, caller, index, background=True)

    # -- answers ---------------------------------------------------------------------------------------------------------

    def _judge(self, caller: _Caller, index: int, error: ApiError | None) -> None:
        """Take an answer over: tell of it if it is of another sort than the last one, and hold or release the pod."""
        call = caller.calls[index]
        state = state_of(call, error)
        caller.good[index] = state == "answered"
        if state != (caller.state[index] or "answered"):
            told = {"message": error.message[:300]} if error is not None and state != "answered" else {}
            self._mark(
                "call", pod=caller.machine.key, uid=caller.machine.uid, call=index, account=f"{caller.token.namespace}/{caller.token.name}",
                verb=call.verb, group=call.group, resource=call.resource + (f"/{call.subresource}" if call.subresource else ""),
                namespace=call.space(caller.token.namespace), name=call.name, needed=call.needed, state=state, **told,
            )  # fmt: skip
        caller.state[index] = state
        if call.needed:
            caller.held(caller.machine, caller.waits)


def state_of(call: ApiCall, error: ApiError | None) -> str:
    """Return what an answer means: answered, forbidden, unauthorized, refused (by admission), missing, or unanswered."""
    if error is None:
        return "answered"
    if error.code == 401:
        return "unauthorized"
    if error.code == 403:
        return "forbidden" if 'User "' in error.message and '" cannot ' in error.message else "refused"
    if error.code == 404 and call.verb in READS and call.resource in BY_PLURAL:
        return "missing"
    return "answered" if error.code in _ANSWERED else "unanswered"


def token_of(pod: Obj, accounts: Mapping[str, Obj]) -> ServiceAccountToken:
    """Return the token that a pod's containers are given: bound to the pod and to its service account as that is now.

    It is handed out at once: TokenRequest is not modelled. A service account that is not there gives a token of nobody.
    """
    meta, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
    found = accounts.get(f"{meta['namespace']}/{account}")
    uid = found["metadata"]["uid"] if found is not None else ""
    return ServiceAccountToken(meta["namespace"], account, uid, pod=(meta["name"], meta["uid"]))
