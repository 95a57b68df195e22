"""CoreDNS' autopath plugin: the server goes through a pod's search path itself, so that the first question is the last.

plugin/autopath: only for A and AAAA, and only for a name in the first domain of the path; the first answer that is not NXDOMAIN counts, with
an alias from the name that was asked; if all are NXDOMAIN, the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kchaos.models.network.dns import Answer, Record

Ask = Callable[[str, str], Answer]


def along(ask: Ask, search: Sequence[str], name: str, kind: str) -> Answer:
    """Answer a question of a client with the search path ``search`` (absolute domains; the name alone is tried last)."""
    if kind not in ("A", "AAAA") or not search or not name.lower().endswith("." + search[0].lower()):
        return ask(name, kind)
    base = name[: -len(search[0])]
    first: Answer | None = None
    for domain in (*search, ""):
        answer = ask(base + domain, kind)
        first = first or answer
        if answer.rcode != "NXDOMAIN":
            return _named(answer, name)
    assert first is not None
    return first


def _named(answer: Answer, name: str) -> Answer:
    """Put an alias before an answer for another name."""
    other = next((one for one in answer.answer if one.name.lower() != name.lower()), None)
    if other is None:
        return answer
    return answer._replace(answer=(Record(name, other.ttl, "CNAME", other.name), *answer.answer))
