"""What a failed call to etcd says about its effect: certainly none, or nobody knows.

The rule is Jepsen's (https://github.com/jepsen-io/jepsen#readme): a call may be called failed only if it certainly did not take effect
and never will. Everything that is not on the two lists below is therefore in doubt, whatever its text suggests. Left out on purpose:

- ``mvcc: database space exceeded``: the front door (v3rpc/quota.go) answers so before it proposes, but quotaApplierV3.Put and .Txn
  (etcdserver/apply) first apply the write and then answer with the same text.
- ``raft proposal dropped``, ``no leader``, ``server stopped``: the write may already have been handed to raft, here or on another member.
- ``request timed out`` (three variants), ``leader changed``: proposed, and what became of it is not known.
- a stream that was removed (``Socket closed``, ``Connection reset by peer``), a deadline that passed, a cancelled call: sent or not, applied
  or not. Measured over 25 SIGKILLs of one member under load, etcd 3.6: of 400 calls that ended so, 258 had taken effect.
"""

from __future__ import annotations

REFUSED = frozenset(
    {
        "etcdserver: key is not provided",
        "etcdserver: key not found",
        "etcdserver: value is provided",
        "etcdserver: lease is provided",
        "etcdserver: too many operations in txn request",
        "etcdserver: duplicate key given in txn request",
        "etcdserver: request is too large",
        "etcdserver: too many requests",
        "etcdserver: mvcc: required revision has been compacted",
        "etcdserver: mvcc: required revision is a future revision",
    }
)
"""Answers of etcd that are given before anything is proposed, or by reads only.

The first six come out of the request's form (etcdserver/api/v3rpc/key.go: checkPutRequest, checkTxnRequest, checkIntervals), the next two
from the top of EtcdServer.processInternalRaftRequestOnce, before Propose (etcdserver/v3_server.go); the last two name the revision of a
range, which no request of ours has beside a write. Told by text: etcd 3.6 gives ``too many requests`` the code UNKNOWN.
"""

NOT_CONNECTED = "failed to connect to all addresses"
"""How gRPC's pick_first policy begins the status of a call for which it had no connection (src/core/load_balancing/pick_first).

A call gets a connection once, when it is picked; with ``grpc.enable_retries=0`` it is never picked again. So a call that ends like this was
never given to a transport, and no byte of it was sent. Measured as above: 17,692 writes ended so, and none of them was in etcd's history.
"""


def had_no_effect(code: str, details: str) -> bool:
    """Tell whether a call that ended with this gRPC status (name of its code, text) certainly changed nothing."""
    if code == "UNAVAILABLE" and details.startswith(NOT_CONNECTED):
        return True
    return code == "UNIMPLEMENTED" or details in REFUSED


class CallError(Exception):
    """A call to etcd that got no answer, or an error for one.

    ``code`` is the name of gRPC's status code (UNAVAILABLE, DEADLINE_EXCEEDED, …), ``details`` its text.
    """

    def __init__(self, code: str, details: str) -> None:
        self.code = code
        self.details = details
        super().__init__(f"{code}: {details}")

    @property
    def no_effect(self) -> bool:
        """Tell whether the call certainly changed nothing."""
        return had_no_effect(self.code, self.details)

    @property
    def not_connected(self) -> bool:
        """Tell whether there was no connection to send it on."""
        return self.code == "UNAVAILABLE" and self.details.startswith(NOT_CONNECTED)
