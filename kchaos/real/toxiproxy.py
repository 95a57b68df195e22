"""A Toxiproxy server at one address: its proxies, toxics and byte counters, with time-outs and real errors.

Stands on toxiproxy-python 0.1.1, and works around what that library does: it keeps host and port on a class that all servers share (each
:class:`Toxiproxy` makes a subclass of its ``APIConsumer`` for itself, and stays off the ``Toxiproxy`` and ``Proxy`` classes, whose methods
call the shared one); it sets no time-out (each call here passes one); it lets HTTP 500 through as if it were an answer, which ends as a
KeyError (here the status is looked at, and Toxiproxy's own words are told); it changes proxies and toxics by POST, which Toxiproxy >= 2.6
calls deprecated (here by PATCH). Rules of the interface: https://github.com/Shopify/toxiproxy#http-api.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from toxiproxy.api import APIConsumer, validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from toxiproxy.toxic import Toxic

from kchaos.errors import HarnessError

TIMEOUT_S = 20.0
"""A call takes some ms; one that takes a toxic off a connection that ends just then waits 5 s for each packet in it (toxic.go, WriteOutput)."""
OLDEST = (2, 6)
"""The first version that takes PATCH."""
_DIRECT = {"no_proxy": "*"}  # a proxy of the user's environment is not for a server of ours
_SAMPLE = re.compile(r'^toxiproxy_proxy_(received|sent)_bytes_total\{([^}]*)\} (\S+)$', re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Proxy(NamedTuple):
    """One proxy as Toxiproxy tells of it; addresses are host:port."""

    name: str
    listen: str
    upstream: str
    enabled: bool


class Passed(NamedTuple):
    """Bytes of the connections of a proxy that have *ended*: Toxiproxy 2.12 adds a connection's bytes when it closes (link.go)."""

    received: int
    sent: int


class Toxiproxy:
    """One server. Every method raises HarnessError in one sentence if the server does not answer in time, or answers with an error."""

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self.address = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._api: Any = type("Consumer", (APIConsumer,), {"host": host, "port": port})

    def _ask(self, verb: str, path: str, json: Any = None) -> requests.Response:
        options: dict[str, Any] = {"timeout": self._timeout_s, "proxies": _DIRECT}
        try:
            if verb == "GET":
                answer = self._api.get(path, **options)
            elif verb == "DELETE":
                answer = self._api.delete(path, **options)
            elif verb == "POST":
                answer = self._api.post(path, json=json, **options)
            else:  # the library has no PATCH
                answer = validate_response(requests.patch(f"http://{self.address}{path}", json=json, **options))
        except (InvalidToxic, NotFound, ProxyExists) as error:
            raise HarnessError(f"Toxiproxy at {self.address} refused {verb} {path}: {_words(error.args[0])}") from error
        except requests.Timeout as error:
            raise HarnessError(f"Toxiproxy at {self.address} did not answer {verb} {path} within {self._timeout_s:g} s") from error
        except requests.RequestException as error:
            raise HarnessError(f"Toxiproxy at {self.address} can't be reached: it has ended, or its port is another program's") from error
        if not answer.ok:
            raise HarnessError(f"Toxiproxy at {self.address} failed {verb} {path}: {_words(answer.content)} (HTTP {answer.status_code})")
        return answer  # type: ignore[no-any-return]  # the library brings no types

    def version(self) -> str:
        """Return the server's version, such as ``2.12.0``; ``git`` for one that was built from source without a number.

        Raises HarnessError for one that is too old to take PATCH.
        """
        text = self._ask("GET", "/version").text.strip()
        named = re.search(r'"version"\s*:\s*"([^"]+)"', text)  # 2.1 answers plain text, later ones JSON
        told = named[1] if named else text
        numbers = re.match(r"(\d+)\.(\d+)", told)
        if named is None and numbers is None:
            raise HarnessError(f"what listens at {self.address} is no Toxiproxy: it calls its version {text[:60]!r}")
        if numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise HarnessError(f"Toxiproxy {told} at {self.address} is too old: kchaos needs 2.6 or newer (`make tools` brings 2.12)")
        return told

    def proxies(self) -> Mapping[str, Proxy]:
        """Return all proxies by name."""
        return {name: _proxy(told) for name, told in self._ask("GET", "/proxies").json().items()}

    def create(self, name: str, listen: str, upstream: str, enabled: bool = True) -> Proxy:
        """Make a proxy that listens at once, or when it is enabled; port 0 in ``listen`` stands for any free port, the answer says which."""
        return _proxy(self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}).json())

    def enable(self, name: str, enabled: bool = True) -> None:
        """Let a proxy listen, or not: disabled, its connections are closed and new ones are refused."""
        self._ask("PATCH", f"/proxies/{name}", {"enabled": enabled})

    def delete(self, name: str) -> None:
        """Remove a proxy with its toxics and connections."""
        self._ask("DELETE", f"/proxies/{name}")

    def toxics(self, proxy: str) -> Mapping[str, Toxic]:
        """Return a proxy's toxics by name, as the library's class: type, stream, toxicity, attributes."""
        return {one["name"]: Toxic(**one) for one in self._ask("GET", f"/proxies/{proxy}/toxics").json()}

    def add_toxic(self, proxy: str, name: str, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        """Lay a toxic on a proxy's ``upstream`` (client to server) or ``downstream``; open connections get it too."""
        toxic = {"name": name, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": dict(attributes)}
        self._ask("POST", f"/proxies/{proxy}/toxics", toxic)

    def update_toxic(self, proxy: str, name: str, attributes: Mapping[str, int]) -> None:
        """Change a toxic's attributes; those that are not named stay."""
        self._ask("PATCH", f"/proxies/{proxy}/toxics/{name}", {"attributes": dict(attributes)})

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take a toxic away; connections that a ``timeout`` toxic has held are closed."""
        self._ask("DELETE", f"/proxies/{proxy}/toxics/{name}")

    def passed(self) -> Mapping[tuple[str, str], Passed]:
        """Return the bytes of each (proxy, upstream or downstream) whose connections have ended; needs ``-proxy-metrics``."""
        return parse_metrics(self._ask("GET", "/metrics").text)


def parse_metrics(text: str) -> Mapping[tuple[str, str], Passed]:
    """Return the byte counters in a page of Toxiproxy's metrics (Prometheus text), summed over listeners."""
    found: dict[tuple[str, str], Passed] = {}
    for which, labels, value in _SAMPLE.findall(text):
        named = dict(_LABEL.findall(labels))
        key = named["proxy"], named["direction"]
        before = found.get(key, Passed(0, 0))
        count = int(float(value))
        found[key] = before._replace(received=before.received + count) if which == "received" else before._replace(sent=before.sent + count)
    return found


def _proxy(told: Mapping[str, Any]) -> Proxy:
    return Proxy(told["name"], told["listen"], told["upstream"], told["enabled"])


def _words(body: bytes) -> str:
    """Return what an error's body says: ``{"error": …}``, or ``title`` in old versions; else its text."""
    import msgspec

    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace").strip()[:200] or "no word of why"
    return str(told.get("error") or told.get("title") or told) if isinstance(told, dict) else str(told)
