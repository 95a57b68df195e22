"""Fixtures of real servers: what is missing fails the test in one sentence that says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
