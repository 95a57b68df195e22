"""The versions that `make tools` builds are those of the images that kchaos runs."""

from __future__ import annotations

import re
import subprocess

import pytest

from kchaos.real import images
from tests.conftest import tool
from tests.support import ROOT

GO_MOD = ROOT / "tools" / "servers" / "go.mod"


def test_built_etcd_is_the_version_of_the_image() -> None:
    found = re.search(r"go\.etcd\.io/etcd/server/v3 (v\S+)", GO_MOD.read_text(encoding="utf-8"))
    assert found is not None
    assert found[1] == images.ETCD.rpartition(":")[2]


@pytest.mark.needs("etcd-3.4", "etcd-3.5.1", "etcd")
@pytest.mark.parametrize(("name", "version"), [("etcd-3.4", "3.4."), ("etcd-3.5.1", "3.5.1"), ("etcd", images.ETCD.rpartition(":v")[2])])
def test_each_version_of_etcd_is_what_its_name_says(name: str, version: str) -> None:
    program = tool(name)
    assert program is not None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert said.startswith(f"etcd Version: {version}")


@pytest.mark.needs("toxiproxy")
def test_built_toxiproxy_is_the_version_of_the_image() -> None:
    program = tool("toxiproxy")
    assert program is not None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert said.split()[-1] == images.TOXIPROXY.rpartition(":")[2]
