"""Ryuk watches over containers where it can be had."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kchaos.real import images
from kchaos.real.containers import ContainerCluster
from kchaos.real.daemon import RUN
from tests.real.dockers import ABSENT, docker, real, runs
from tests.real.gateway import until


@real
def test_ryuk_is_done_without_where_its_image_cannot_be_had(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_image", ABSENT)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    with ContainerCluster(1) as cluster:
        assert cluster.state("m1") == "running"
        assert testcontainers_config.ryuk_disabled is False  # for us only


@real
def test_ryuk_watches_where_its_image_is_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ryuk's own image can't be had everywhere; any that stays up and listens on 8080 will do to see that it is started."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import Reaper
    from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

    image = f"kchaos.test/ryuk:{os.getpid()}"
    (container,) = docker("create", images.TOXIPROXY)
    docker("commit", "--change", 'CMD ["-host=0.0.0.0", "-port=8080"]', container, image)
    monkeypatch.setattr(testcontainers_config, "ryuk_image", image)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    try:
        with ContainerCluster(1):
            (run,) = runs(home)
            assert docker("ps", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}", "--format", "{{.State}}") == ["running"]
            assert len(docker("ps", "-q", "--filter", f"label={RUN}={run}", "--filter", f"label={LABEL_SESSION_ID}={SESSION_ID}")) == 1
    finally:
        Reaper.delete_instance()
        docker("rm", container)
        docker("rmi", "-f", image)
    until(lambda: docker("ps", "-aq", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}") == [], "it is gone")


@real
def test_a_ryuk_that_does_not_start_is_not_left_half_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.labels import SESSION_ID

    broken = f"kchaos.test/ryuk:{os.getpid()}"
    subprocess.run(["docker", "import", "--change", 'CMD ["/nothing"]', "-", broken], input=_empty_tar(), capture_output=True, check=True)
    monkeypatch.setattr(testcontainers_config, "ryuk_image", broken)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    try:
        with ContainerCluster(1):
            assert docker("ps", "-aq", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}") == []
    finally:
        docker("rmi", "-f", broken)


def _empty_tar() -> bytes:
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        folder = tarfile.TarInfo("etc")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return file.getvalue()
