"""Requests that fail before or after their commit: refused, timed out, out of space, unauthorised, answers that get lost.

``args``: ``target`` names who asks (``deployment-controller``, ``kubelet``; ``*`` for every component), ``code`` 0 (no answer) | 409 | 429 | 500 | 504 | 507,
``phase`` before | after the commit, ``every``: each so-manieth matching write, ``n``: at most so many. The user's own requests are
left alone: the step that shows a fault must itself come through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fnmatch import fnmatchcase

from kchaos.models.api.errors import ApiError, conflict
from kchaos.models.api.request import Request
from kchaos.models.cluster import Cluster
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Evidence, Kind

WRITES = ("create", "update", "patch", "delete", "deletecollection")
CODES = (0, 409, 429, 500, 504, 507)
LOST = 0
"""Code of an answer that never leaves the server: the client times out and does not know the outcome."""


def _error(code: int, request: Request) -> ApiError:
    if code == 409:
        return conflict("", request.resource, request.name)
    found = {
        LOST: ("Timeout", "the answer is lost"),
        401: ("Unauthorized", "Unauthorized"),
        429: ("TooManyRequests", "too many requests, please try again later"),
        500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        504: ("Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded"),
        507: ("InternalError", "etcdserver: mvcc: database space exceeded"),
    }[code]
    return ApiError(*found, code=LOST if code == LOST else None)


class Refusing(ABC):
    """Requests are refused by ``_refusal`` on every server until healing; ``evidence_name`` counts how many."""

    evidence_name = "requests_refused"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._refused = 0
        cluster.control.hooks.interceptors.append(self._intercept)
        cluster.disturbed()

    @abstractmethod
    def _refusal(self, phase: str, request: Request) -> ApiError | None:
        """Return the answer of a request that fails ``before`` or ``after`` its commit, None for one that does not."""

    def _intercept(self, phase: str, request: Request) -> ApiError | None:
        error = self._refusal(phase, request)
        self._refused += error is not None
        return error

    def undo(self) -> None:
        """Let requests pass again."""
        self._cluster.control.hooks.interceptors.remove(self._intercept)
        self._cluster.disturbed()

    def evidence(self) -> Evidence:
        """Return how many requests failed."""
        return {self.evidence_name: self._refused}


class _Failing(Refusing):
    """Some writes of some clients fail."""

    evidence_name = "requests_failed"

    def __init__(self, cluster: Cluster, actor: str, code: int, phase: str, every: int, n: int) -> None:
        self._actor, self._code, self._phase = actor, code, phase
        self._every, self._n = every, n
        self._seen = 0
        super().__init__(cluster)

    def _refusal(self, phase: str, request: Request) -> ApiError | None:
        actor = request.identity.actor
        if phase != self._phase or actor in ("", "user") or request.verb not in WRITES or request.resource == "leases":
            return None
        if not fnmatchcase(actor, self._actor) or (self._n and self._refused >= self._n):
            return None
        self._seen += 1
        return None if self._seen % self._every else _error(self._code, request)


class _Expired(Refusing):
    """A node's client certificate has expired: all its requests are refused, its Lease too, until it is renewed."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._user = f"system:node:{node}"
        super().__init__(cluster)

    def _refusal(self, phase: str, request: Request) -> ApiError | None:
        return _error(401, request) if phase == "before" and request.identity.user == self._user else None


def _failing(name: str, summary: str, code: int, phase: str, every: int) -> Kind[Cluster]:
    """Return the kind of fault under which every so-manieth write fails with ``code``."""
    arguments = (
        Argument("code", code, choices=CODES), Argument("phase", phase, choices=("before", "after")),
        Argument("every", every, low=1, whole=True, usual=(1, 5)), Argument("n", 0, whole=True, usual=(0, 5)),
    )  # fmt: skip
    return Kind(
        name=name, summary=summary, klass="api", target="actor", evidence="requests failed", level1=False, arguments=arguments,
        inject=lambda cluster, args: _Failing(cluster, args["target"], args["code"], args["phase"], args["every"], args["n"]),
    )  # fmt: skip


KINDS: tuple[Kind[Cluster], ...] = (
    _failing("request-refused", "every other write of a client is refused before its commit (500)", 500, "before", 2),
    _failing("request-conflict", "every other write of a client is answered 409 Conflict", 409, "before", 2),
    _failing("request-throttled", "every other write of a client is answered 429 Too Many Requests", 429, "before", 2),
    _failing("request-failed-after-commit", "every other write of a client is carried out and answered with an error", 500, "after", 2),
    _failing("answer-lost", "every third write of a client is carried out, and its answer never arrives", LOST, "after", 3),
    _failing("store-full", "the store is out of space: every write is refused", 507, "before", 1),
    Kind(
        name="certificate-expired", summary="a node's client certificate has expired: all its requests are refused", klass="api",
        target="node", evidence="requests refused", level1=False, inject=lambda cluster, args: _Expired(cluster, args["target"]),
    ),
)  # fmt: skip
