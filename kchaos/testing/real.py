"""Fixtures of real servers: what is missing fails the test in one sentence that says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kchaos.real.cluster import Cluster


@contextmanager
def refused(fixture: str) -> Iterator[None]:
    """Turn the errors of an environment into a failed test without a traceback."""
    import pytest

    from kchaos.errors import KchaosError

    try:
        yield
    except KchaosError as error:
        raise pytest.fail.Exception(f"{fixture}: {error}", pytrace=False) from None
    except ModuleNotFoundError as error:
        raise pytest.fail.Exception(f"{fixture} needs Python packages that are not installed ({error.name}): pip install 'kchaos[etcd]'", pytrace=False) from None


def look_back(cluster: Cluster, out: Path, *, failed: bool) -> None:
    """Scan the members' logs at the end of a session, and keep them if a test has failed or a member has panicked, which is an error then."""
    import pytest

    from kchaos.real.logs import alarms

    found = [f"{member}: {line}" for member in cluster.members for line in alarms(cluster.log(member))]
    if not failed and not found:
        return
    kept = cluster.keep_logs(out)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise pytest.fail.Exception(f"etcd_cluster: {found[0]}{more}; logs: {kept[0].parent}", pytrace=False)
