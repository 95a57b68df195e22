"""What is claimed of a real etcd, judged over the marks of a run (docs/etcd-run.md): a catalogue of its own, apart from Kubernetes' one."""

from __future__ import annotations

from kchaos.check.property import Property
from kchaos.properties.etcd.declared import PROPERTIES
from kchaos.properties.etcd.judge import Judged, judge

ETCD: dict[str, Property] = {one.id: one for one in PROPERTIES}

__all__ = ["ETCD", "Judged", "judge"]
