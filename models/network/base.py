"""The chains that kube-proxy writes whatever Services there are, and flannel's ip-masq chain.

pkg/proxy/iptables/proxier.go (iptablesJumpChains, KUBE-POSTROUTING, KUBE-FORWARD, KUBE-FIREWALL); flannel pkg/trafficmngr/iptables.
"""

from __future__ import annotations

from kchaos.models.network.addresses import net
from kchaos.models.network.rules import Chain, Match, Rule, Table, comment

FILTER = "filter"
MARK_MASQ = "KUBE-MARK-MASQ"
NODE_PORTS_NOTE = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
_NEW = Match("ctstate", False, "NEW")
_PORTALS = comment("kubernetes service portals")
_SEEN = comment("kubernetes externally-visible service portals")
_WALL = comment("kubernetes load balancer firewall")
ACCEPT = "ACCEPT"


def _filter(mark: str, localhost: bool) -> Table:
    services = Rule("KUBE-SERVICES", matches=(_NEW, _PORTALS))
    external = Rule("KUBE-EXTERNAL-SERVICES", matches=(_NEW, _SEEN))
    wall = Rule("KUBE-PROXY-FIREWALL", matches=(_NEW, _WALL))
    block = Rule("KUBE-FIREWALL")
    forward = comment("kubernetes forwarding rules")
    known = Match("ctstate", False, "RELATED,ESTABLISHED")
    local = Rule(
        "DROP", src=net("127.0.0.0/8"), not_src=True, dst=net("127.0.0.0/8"),
        matches=(comment("block incoming localnet connections"), Match("ctstate", True, "RELATED,ESTABLISHED,DNAT")),
    )  # fmt: skip
    invalid = (Match("ctstate", False, "INVALID"), Match("nfacct", False, "ct_state_invalid_dropped_pkts"))
    chains: dict[str, Chain] = {
        "INPUT": (block, wall, Rule("KUBE-NODEPORTS", matches=(comment("kubernetes health check service ports"),)), external),
        "FORWARD": (wall, Rule("KUBE-FORWARD", matches=(forward,)), services, external),
        "OUTPUT": (block, wall, services),
        "KUBE-EXTERNAL-SERVICES": (),
        "KUBE-FIREWALL": (local,) if localhost else (),
        "KUBE-FORWARD": (
            Rule("DROP", matches=invalid),
            Rule(ACCEPT, matches=(forward, Match("mark", False, f"{mark}/{mark}"))),
            Rule(ACCEPT, matches=(comment("kubernetes forwarding conntrack rule"), known)),
        ),
        "KUBE-NODEPORTS": (), "KUBE-PROXY-CANARY": (), "KUBE-PROXY-FIREWALL": (), "KUBE-SERVICES": (),
    }  # fmt: skip
    return Table(chains, {"INPUT": ACCEPT, "FORWARD": ACCEPT, "OUTPUT": ACCEPT})


def frame(mark: str = "0x4000", localhost: bool = True) -> dict[str, Table]:
    """Return the tables of a node without any Service."""
    portals = (Rule("KUBE-SERVICES", matches=(_PORTALS,)),)
    nat: dict[str, Chain] = {
        "PREROUTING": portals, "INPUT": (), "OUTPUT": portals,
        "POSTROUTING": (Rule("KUBE-POSTROUTING", matches=(comment("kubernetes postrouting rules"),)),),
        MARK_MASQ: (Rule("MARK", f"{mark}/{mark}"),),
        "KUBE-NODEPORTS": (),
        "KUBE-POSTROUTING": (
            Rule("RETURN", matches=(Match("mark", True, f"{mark}/{mark}"),)),
            Rule("MARK", f"{mark}/0x0"),
            Rule("MASQUERADE", "--random-fully", matches=(comment("kubernetes service traffic requiring SNAT"),)),
        ),
        "KUBE-PROXY-CANARY": (), "KUBE-SERVICES": (),
    }  # fmt: skip
    hooks = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    mangle: dict[str, Chain] = {**dict.fromkeys(hooks, ()), "KUBE-PROXY-CANARY": ()}
    return {
        "mangle": Table(mangle, dict.fromkeys(hooks, ACCEPT)),
        FILTER: _filter(mark, localhost),
        "nat": Table(nat, {hook: ACCEPT for hook in hooks if hook != "FORWARD"}),
    }


def with_masquerade(tables: dict[str, Table], network: str, subnet: str, mark: str = "0x4000") -> dict[str, Table]:
    """Add flannel's ip-masq: what leaves the pod network gets the node's address; within it nothing is translated."""
    pods, own = net(network), net(subnet)
    chain = (
        Rule("RETURN", matches=(Match("mark", False, f"{mark}/{mark}"),)),
        Rule("RETURN", src=own, dst=pods),
        Rule("RETURN", src=pods, dst=own),
        Rule("RETURN", src=pods, not_src=True, dst=own),
        Rule("MASQUERADE", "--random-fully", src=pods, dst=net("224.0.0.0/4"), not_dst=True),
        Rule("MASQUERADE", "--random-fully", src=pods, not_src=True, dst=pods),
    )
    nat = tables["nat"]
    chains = {**nat.chains, "FLANNEL-POSTRTG": chain, "POSTROUTING": (*nat.chains["POSTROUTING"], Rule("FLANNEL-POSTRTG"))}
    return {**tables, "nat": Table(chains, nat.policy)}
