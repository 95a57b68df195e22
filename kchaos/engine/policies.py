"""What NetworkPolicies keep the application's own pods from: Services that admit nobody, or none of these pods; consumers that may not ask; no DNS.

Policies are judged by labels (models/network/admits.py), and only what is sure is told. All of them may lie in other files, so nothing here is
worse than a warning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kchaos.engine.consumers import Named, hidden_in, named_services
from kchaos.engine.references import Pods, pods_of, serving_ports
from kchaos.models.api.selectors import compile_selector, from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Manifest
from kchaos.models.manifests.notes import Note
from kchaos.models.network.admits import Port, Spaces, admits, blocks, looks_up, may_be
from kchaos.models.network.policy import Subject

RULE = "KC330"
ALIKE = 0.75
"""Label values at least this alike are taken for a slip."""


class _World(NamedTuple):
    """The objects under test and those that exist beside them."""

    policies: list[Obj]
    manifests: dict[str, Manifest]
    """By id, to point at lines."""
    services: dict[str, Obj]
    pods: list[Pods]
    spaces: Spaces


def policy_notes(manifests: Sequence[Manifest], context: Sequence[Obj], all_known: bool = True) -> Iterator[Note]:
    """Yield what policies surely forbid. ``all_known``: no pods come from elsewhere (an operator), which a policy may be meant for."""
    objects = [*(one.obj for one in manifests), *context]
    policies = [one for one in objects if one["kind"] == "NetworkPolicy" and isinstance(one.get("spec"), dict)]
    if not policies:
        return
    world = _World(
        policies, {one.id: one for one in manifests},
        {f"{one['metadata'].get('namespace', '')}/{one['metadata'].get('name')}": one for one in objects if one["kind"] == "Service"},
        [*pods_of([(one.obj, one) for one in manifests]), *pods_of([(obj, None) for obj in context])],
        {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in objects if one["kind"] == "Namespace"},
    )  # fmt: skip
    for policy in policies:
        yield from _unused(world, policy)
    closed: dict[str, None] = {}
    for key, service in world.services.items():
        peers = _peers(world, service)
        if peers == []:
            closed[key] = None
        if peers is not None:
            yield from (note for note in _admitted(world, service, peers) if all_known or note.level != "info")
    hidden = {space: hidden_in(space, world.services) for space in dict.fromkeys(one.space for one in world.pods)}
    for pods in world.pods:
        if pods.manifest is not None and not pods.spec.get("hostNetwork"):
            yield from _consumer(world, pods, pods.manifest, named_services(pods, world.services, hidden[pods.space]), closed)


def _subject(pods: Pods) -> Subject:
    return Subject(pods.space, pods.labels, 0)


def _behind(world: _World, service: Obj) -> list[Pods]:
    """Return the pods behind a Service that policies bind."""
    selector = get(service, "spec", "selector")
    if not selector or get(service, "spec", "type") == "ExternalName":
        return []
    fits, space = from_map(selector), service["metadata"].get("namespace", "")
    return [one for one in world.pods if one.space == space and fits(one.labels) and not one.spec.get("hostNetwork")]


def _ports(service: Obj, pods: Pods, wanted: int | None = None) -> list[Port]:
    """Return the ports of pods that a Service (or one of its ports) leads to."""
    out: list[Port] = []
    declared = list(serving_ports(pods))
    for port in get(service, "spec", "ports", default=()) or ():
        if wanted is not None and port.get("port") != wanted:
            continue
        protocol, target = port.get("protocol") or "TCP", port.get("targetPort", port.get("port"))
        key = "name" if isinstance(target, str) else "containerPort"
        same = [one for one in declared if one.get(key) == target and (one.get("protocol") or "TCP") == protocol]
        if same:
            out.append(Port(protocol, int(same[0]["containerPort"]), str(same[0].get("name") or "")))
        elif isinstance(target, int):
            out.append(Port(protocol, target))
    return out


def _ident(obj: Obj) -> str:
    return f"{obj['kind']}/{obj['metadata'].get('namespace', '')}/{obj['metadata'].get('name', '')}"


def _names(policies: Sequence[Obj]) -> str:
    names = list(dict.fromkeys(str(one["metadata"].get("name", "")) for one in policies))
    return f"NetworkPolic{'y' if len(names) == 1 else 'ies'} {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"


def _verb(policies: Sequence[Obj], verb: str) -> str:
    """Return the policies and what they do."""
    words = _names(policies)
    return f"{words} {verb}{'s' if words.startswith('NetworkPolicy ') else ''}"


def _note(world: _World, level: str, at: Sequence[Obj], text: str, hint: str, about: str) -> Iterator[Note]:
    """Yield a note at the first of some policies that is under test, those for some pods before those for all."""
    for one in sorted(at, key=lambda one: not one["spec"].get("podSelector")):
        manifest = world.manifests.get(_ident(one))
        if manifest is not None:
            yield Note(RULE, level, manifest.file, manifest.line, text, hint, about)
            return


def _unused(world: _World, policy: Obj) -> Iterator[Note]:
    """Tell of a policy that selects no pod, if one of these files is nearly selected."""
    space, selector = policy["metadata"].get("namespace", ""), policy["spec"].get("podSelector") or {}
    fits = compile_selector(selector)
    if any(one.space == space and fits(one.labels) for one in world.pods):
        return
    near = _near(world, [{"podSelector": selector}], space)
    if near:
        name = policy["metadata"].get("name", "")
        yield from _note(world, "warning", [policy], f"NetworkPolicy {name} selects no pod of these files", near, _ident(policy))


# -- who may ask a Service ---------------------------------------------------------------------------------------------


def _peers(world: _World, service: Obj) -> list[Obj] | None:
    """Return whom policies let in to a Service; None: everybody, or nobody knows its pods; empty: nobody."""
    found = [admits(world.policies, _subject(one), ports) for one in _behind(world, service) if (ports := _ports(service, one))]
    if not found or any(peers is None for peers in found):
        return None
    return [peer for one in found for peer in one or ()]


def _admitted(world: _World, service: Obj, peers: list[Obj]) -> Iterator[Note]:
    behind = [(one, _ports(service, one)) for one in _behind(world, service)]
    space, name = service["metadata"].get("namespace", ""), service["metadata"].get("name", "")
    bound = [policy for policy in world.policies if any(_selects(policy, one) for one, _ in behind)]
    numbers = ", ".join(dict.fromkeys(str(port.number) for _, ports in behind for port in ports))
    if not peers:
        text = f"Service {name} admits no client: {_verb(bound, 'let')} nobody in to port {numbers} of its pods; no requests are sent to it"
        hint = "add an ingress rule for its clients and this port, or leave the Service out"
        yield from _note(world, "warning", bound, text, hint, f"Service/{space}/{name}")
        return
    if any("ipBlock" in peer or "namespaceSelector" in peer for peer in peers):
        return
    if any(may_be(peer, _subject(pods), space, world.spaces) for peer in peers for pods in world.pods):
        return
    wanted = ["=".join(pair) for peer in peers for pair in (get(peer, "podSelector", "matchLabels", default={}) or {}).items()]
    near = _near(world, peers, space)
    text = f"Service {name} admits only pods labelled {' or '.join(dict.fromkeys(wanted)) or 'so'} ({_names(bound)}), and no pod of these files is"
    yield from _note(world, "warning" if near else "info", bound, text, near, f"Service/{space}/{name}")


def _selects(policy: Obj, pods: Pods) -> bool:
    spec = policy["spec"]
    ingress = "Ingress" in (spec.get("policyTypes") or ["Ingress"])
    same = policy["metadata"].get("namespace", "") == pods.space
    return ingress and same and compile_selector(spec.get("podSelector") or {})(pods.labels)


def _near(world: _World, peers: Sequence[Obj], space: str) -> str:
    """Return a hint if pods of these files have all labels that a policy asks for but one, and that one nearly."""
    for peer in peers:
        wanted = get(peer, "podSelector", "matchLabels", default={}) or {}
        for pods in (one for one in world.pods if one.space == space):
            off = [key for key, value in wanted.items() if pods.labels.get(key) != value]
            if len(off) == 1 and difflib.SequenceMatcher(None, wanted[off[0]], pods.labels.get(off[0], "")).ratio() >= ALIKE:
                return f"write {off[0]}: {pods.labels[off[0]]} instead of {off[0]}: {wanted[off[0]]}"
    return ""


# -- whom pods may ask -------------------------------------------------------------------------------------------------


def _consumer(world: _World, pods: Pods, manifest: Manifest, named: list[Named], closed: Mapping[str, None]) -> Iterator[Note]:
    if not named:
        return
    about = manifest.id
    mute = looks_up(world.policies, _subject(pods)) if pods.spec.get("dnsPolicy", "ClusterFirst").startswith("ClusterFirst") else []
    if mute:
        services = list(dict.fromkeys(one.service.partition("/")[2] for one in named))
        names = ", ".join(services[:3]) + (f" and {len(services) - 3} more" if len(services) > 3 else "")
        text = f"{pods.words} asks Services by name ({names}), and {_verb(mute, 'let')} no DNS question out (UDP 53): no name is found"
        yield from _note(world, "warning", mute, text, "add an egress rule for port 53, protocol UDP and TCP, to kube-system", about)
    told: dict[str, None] = {}
    for one in named:
        blocked = _blocked(world, pods, one)
        if blocked and one.service not in told and one.service not in closed:  # of a closed Service its own note tells
            told[one.service] = None
            name = one.service.partition("/")[2] + (f":{one.port}" if one.port else "")
            text = f"{pods.words} asks Service {name} ({manifest.file}:{manifest.at(one.path)}), and {_verb(blocked, 'keep')} it out"
            hint = "let these pods in (ingress of the Service's pods), or out (egress of these)"
            yield from _note(world, "warning", blocked, text, hint, about)


def _blocked(world: _World, pods: Pods, named: Named) -> list[Obj]:
    """Return the policies that keep pods from every pod behind a Service."""
    service = world.services[named.service]
    found: list[Obj] = []
    behind = _behind(world, service)
    for one in behind:
        ports = _ports(service, one, named.port)
        blocking = blocks(world.policies, _subject(pods), _subject(one), ports, world.spaces) if ports else []
        if not blocking:
            return []
        found.extend(blocking)
    return found
