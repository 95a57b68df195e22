"""What looks like a secret outside of Secrets is replaced too; what names a file, a variable or a flag stays."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.manifests.redact import redact


def _pod(*words: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "args": list(words)}]}}


@pytest.mark.parametrize(
    "words",
    [
        ["--password=MARKER"], ["--password", "MARKER"], ["--redis-password=MARKER", "x"], ["DB_PASSWORD=MARKER exec app"], ["--api-key=MARKER"],
        ["sh", "-c", "curl -H 'Authorization: Bearer MARKER' http://x"], ["postgres://user:MARKER@db/app"],
    ],
)  # fmt: skip
def test_values_of_options(words: list[str]) -> None:
    assert "MARKER" not in str(redact(_pod(*words)))


@pytest.mark.parametrize(
    "words", [["--password=$(PASSWORD)"], ["--port=80", "--verbose"], ["--token", "--verbose"], ["sleep", "5"], ["http://host:80/path"]]
)
def test_what_stays(words: list[str]) -> None:
    pod = _pod(*words)
    assert redact(pod)["spec"]["containers"][0]["args"] == words


def test_config_maps() -> None:
    found = redact({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"DB_PASSWORD": "MARKER", "mode": "fast"}})
    assert found["data"]["mode"] == "fast" and "MARKER" not in str(found)


def test_hooks() -> None:
    pod = _pod()
    pod["spec"]["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["curl", "-H", "Authorization: Basic MARKER"]}}}
    assert "MARKER" not in str(redact(pod))
