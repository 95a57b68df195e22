"""All faults of a real etcd, by name."""

from __future__ import annotations

from kchaos.nemesis.etcd import links, processes
from kchaos.nemesis.etcd.target import Target, resolve
from kchaos.nemesis.fault import Catalog


def catalog() -> Catalog[Target]:
    """Return the kinds, those of connections first."""
    found: Catalog[Target] = Catalog(resolve)
    for kind in (*links.KINDS, *processes.KINDS):
        found.add(kind)
    return found
