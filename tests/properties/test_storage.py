"""Planted bugs of claims, volumes and attachments."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import drop, put
from tests.properties.objects import obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj

CASES = Cases()


def _claim(name: str, volume: str) -> Obj:
    return obj("v1", "PersistentVolumeClaim", name, {"volumeName": volume} if volume else {}, {"phase": "Bound"})


@CASES.bug("KC045", "rebound")
def a_claim_changes_its_volume(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_claim("data", "pv-1" if bad else ""))
    history.put(_claim("data", "pv-2"), by="persistent-volume-binder")
    return history.end()


@CASES.bug("KC045", "shared volume")
def two_claims_share_a_volume(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_claim("data", "pv-1"))
    history.put(_claim("other", "pv-1" if bad else "pv-2"), by="persistent-volume-binder")
    return history.end()


@CASES.bug("KC045", "rebound")
def a_volume_changes_its_claim(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A volume whose claim is gone must be released by hand before another may have it."""
    volume = obj("v1", "PersistentVolume", "pv-1", {"claimRef": {"name": "data", "uid": "one"}}, {"phase": "Released"}, space="")
    history = History(volume)
    if not bad:
        volume = history.put(drop(volume, "spec", "claimRef"))
    history.put(put(volume, {"name": "data", "uid": "two"}, "spec", "claimRef"), by="persistent-volume-binder")
    return history.end()


def _disk(policy: str = "Delete", mode: str = "ReadWriteOnce") -> Obj:
    return obj("v1", "PersistentVolume", "disk", {"accessModes": [mode], "persistentVolumeReclaimPolicy": policy}, space="")


@CASES.bug("KC145", "attached twice")
def a_disk_on_two_nodes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Some volumes may be."""

    def attachment(name: str) -> Obj:
        spec = {"nodeName": name, "source": {"persistentVolumeName": "disk"}}
        return obj("storage.k8s.io/v1", "VolumeAttachment", f"disk-{name}", spec, space="")

    history = History(_disk(mode="ReadWriteOnce" if bad else "ReadWriteMany"), attachment("node-1"))
    history.put(attachment("node-2"), by="attachdetach-controller")
    return history.end()


@CASES.bug("KC245", "in use")
def a_claim_goes_while_a_pod_uses_it(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    used = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data" if bad else "other"}}]}
    history = History(_claim("data", "disk"), pod("db-0", "node-1", True, spec=used))
    history.remove(_claim("data", "disk"))
    return history.end()


@CASES.bug("KC245", "retained")
def a_volume_to_retain_is_deleted(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_disk("Retain" if bad else "Delete"))
    history.remove(_disk("Retain" if bad else "Delete"), by="persistent-volume-binder")
    return history.end()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
