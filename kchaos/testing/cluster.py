"""``cluster``: a simulated cluster in a test's hands: apply objects, let time pass, inject a fault, assert. Nothing happens but by its methods.

It starts when it is first used, from the image of an empty cluster that is booted once per session; what is done to it is recorded as a
scenario, so that a failure can be run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec

from kchaos.canonical import digest
from kchaos.check.property import Property, Severity, Violation
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.inputs import check_namespace
from kchaos.engine.kubernetes import Session
from kchaos.engine.machines import Machines, of_file, of_numbers
from kchaos.engine.output import harmless, whole
from kchaos.engine.own import refuse_unknown_keys
from kchaos.engine.scenarios import check_now, scope_of
from kchaos.engine.seen import Seen
from kchaos.engine.settings import Settings
from kchaos.engine.story import story
from kchaos.engine.system import build, inputs_of
from kchaos.errors import InvalidScenario, Location
from kchaos.history.record import Mark, Run
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import DEFAULT
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.objects import ident
from kchaos.models.manifests.load import Text, load
from kchaos.nemesis.fault import Evidence, bit
from kchaos.properties.own.declared import undecided
from kchaos.scenario import Scenario, Step
from kchaos.testing.arguments import check_claim, check_name, check_spans, in_words, is_number, json_tree
from kchaos.testing.files import Files, shown, stem_of
from kchaos.testing.marks import wrong_numbers, wrong_types

NODES = 3
ANSWER_S = 0.1
PATIENCE_S = 180.0
"""How long a user waits for the API server's answer before the next look, and for how long at most: a user's client asks again for two
minutes while no server can be reached, and for longer while servers keep it waiting."""
What = str | PathLike[str] | Obj | Sequence[Obj]
Images = dict[Any, tuple[System, Boot]]
"""Booted empty clusters by what they were asked for; they live as long as the session."""


P = ParamSpec("P")
T = TypeVar("T")


def _plain(method: Callable[P, T]) -> Callable[P, T]:
    """Let a mistake of the test's author, or a claim that does not hold, be shown where the author wrote it: no frame of ours."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except (InvalidScenario, AssertionError) as error:
            raise error.with_traceback(None) from None

    return call


class Refused(AssertionError):
    """The API server did not take what a user asked for: the text is its message. Or none answered, and the text says so."""


class Fault:
    """One fault that was injected, or one operation that was begun. Used with ``with``, it is undone at the end."""

    def __init__(self, cluster: SimulatedCluster, index: int, what: str) -> None:
        self._cluster = cluster
        self._index = index
        self._what = what

    def undo(self) -> None:
        """Undo it now: power on, uncordon, reconnect. What has no undo stays."""
        self._cluster._running.session.undo(self._index)

    @property
    def evidence(self) -> Evidence:
        """Return counters of what it really did."""
        return self._cluster._running.session.evidence(self._index)

    @property
    def bit(self) -> bool:
        """Tell whether it did anything at all."""
        return bit(self.evidence)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<{self._what}>"


class _Asked(NamedTuple):
    nodes: int | None = NODES
    zones: int | None = None
    topology: str = ""
    config: str = ""
    masters: int = 1
    seed: int = 0


class _Running(NamedTuple):
    system: System
    session: Session


class SimulatedCluster:
    """A cluster under virtual time: three nodes in three zones, unless :meth:`configure` says otherwise before it is used."""

    def __init__(
        self, files: Files, images: Images, *, seed: int | None = None, name: str = "cluster", out: Path = Path(".kchaos")
    ) -> None:
        self._files = files
        self._images = images
        self._seed = seed
        self._name = name
        self._out = out
        self._asked = _Asked(seed=seed or 0)
        self._deployed: Sequence[Obj] = ()
        self._now: _Running | None = None

    @_plain
    def configure(
        self, *, nodes: int | None = None, zones: int | None = None, masters: int = 1, topology: str | PathLike[str] = "",
        config: str | PathLike[str] = "", seed: int = 0,
    ) -> None:  # fmt: skip
        """Say which machines there are, under which assumptions (a kchaos.yaml). Only before the cluster is used, or after :meth:`reset`."""
        if self._now is not None:
            raise InvalidScenario("cluster.configure() comes too late: the cluster runs", hint="call it first, or after cluster.reset()")
        if self._deployed:
            raise InvalidScenario(
                "cluster.configure() comes too late: objects are deployed", hint="call it before cluster.deploy(), or after cluster.reset()"
            )
        if isinstance(masters, bool) or masters not in (1, 3):
            raise InvalidScenario(f"masters is {masters!r}", hint="write 1 or 3")
        paths = {"topology": topology, "config": config}
        if wrong := wrong_types(paths=paths) or wrong_numbers(nodes=nodes, zones=zones, seed=seed, topology=topology):
            raise InvalidScenario(f"cluster.configure(): {wrong}")
        seed = seed if self._seed is None else self._seed
        self._asked = _Asked(nodes or (None if topology else NODES), zones, fspath(topology), fspath(config), masters, seed)

    def reset(self) -> None:
        """Begin anew with an empty cluster, as configured."""
        self.close()
        self._deployed = ()

    def close(self) -> None:
        """End it."""
        if self._now is not None:
            self._now.session.close()
            self._now = None

    # -- what users do -------------------------------------------------------------------------------------------------

    @_plain
    def deploy(self, *what: What, namespace: str = "default") -> None:
        """Install objects, as helm does, and wait until all is at rest: the history begins then, and what follows is judged in full.

        Requests are sent to the Services, and what faults do to the workloads' availability counts (:meth:`judge`). Only before the
        cluster is used, or after :meth:`reset`. ``what`` as for :meth:`apply`. Raises Refused with the API server's message.
        """
        if self._now is not None:
            raise InvalidScenario("cluster.deploy() comes too late: the cluster runs", hint="call it first, or use cluster.apply()")
        if self._deployed:
            raise InvalidScenario(
                "cluster.deploy() comes a second time: the history has begun",
                hint="deploy all at once, as in cluster.deploy(a, b), or add the rest by cluster.apply()",
            )
        self._deployed = self._objects(what, namespace)
        _, booted = self._image()
        if booted.refused:
            first = booted.refused[0]
            self._deployed = []
            raise Refused(f"deploy {ident(first.obj)}: {first.message}")

    @_plain
    def apply(self, *what: What, namespace: str = "default") -> list[str]:
        """Apply objects, as `kubectl apply` does, and return their names (``Kind/namespace/name``). Namespaces that are missing are made.

        ``what``: paths and globs from the test's file on, YAML text, objects as dicts. Raises Refused with the API server's message.
        """
        out = []
        for obj in self._objects(what, namespace):
            space = obj["metadata"].get("namespace")
            if space and self.get(f"Namespace/{space}") is None:
                self._user("apply", f"Namespace/{space}", object={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
            out.append(ident(obj))
            self._user("apply", out[-1], object=obj)
        return out

    @_plain
    def patch(self, target: str, body: Mapping[str, Any]) -> None:
        """Change an object by a merge patch. Raises Refused."""
        if not isinstance(body, Mapping):
            raise InvalidScenario(f"a merge patch is a dict, not {body!r}", hint='write such as {"metadata": {"labels": {"tier": "web"}}}')
        self._user("patch", target, patch=json_tree("a merge patch", body))

    @_plain
    def scale(self, workload: str, replicas: int) -> None:
        """Give a workload another number of replicas. Raises Refused."""
        self._user("scale", workload, replicas=replicas)

    @_plain
    def delete(self, target: str) -> None:
        """Delete an object. Raises Refused."""
        self._user("delete", target)

    @_plain
    def inject(self, fault: str, target: str = "", **args: Any) -> Fault:
        """Inject a fault of `kchaos faults`, or begin an operation such as drain or rollout. Raises InvalidScenario for what makes no sense."""
        check_name("the name of a fault", fault)
        kind = catalog().get(fault)
        running = self._running
        if not target:
            places = list(scope_of(running.system).get(kind.target, ()))
            if len(places) != 1:
                raise InvalidScenario(f"{fault} needs a target", hint=f'write cluster.inject("{fault}", "the name of a {kind.target}")')
            target = places[0]
        return Fault(self, self._do(Step(do=kind.name, args={"target": target, **args})), f"{kind.name} of {target}")

    @_plain
    def heal(self) -> None:
        """Undo all faults that are under way, the last first."""
        for index in reversed(range(len(self.scenario.steps))):
            self._running.session.undo(index)

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Return virtual seconds since the cluster started."""
        return self._running.session.t

    @_plain
    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        if not is_number(seconds) or seconds < 0:
            raise InvalidScenario(f"time can't advance by {in_words(seconds)}", hint="write seconds from 0 on")
        session = self._running.session
        session.advance(round(session.t + seconds, 3))

    @_plain
    def settle(self, within_s: float = 600.0) -> None:
        """Let time pass until nothing but upkeep happens, for ``within_s`` virtual seconds at the longest."""
        check_spans(within_s=within_s)
        self._running.session.rest(within_s)

    @_plain
    def eventually(self, claim: Callable[[], Any], within_s: float = 300.0, every_s: float = 1.0) -> None:
        """Let time pass until a claim holds (returns something true, and asserts nothing false). Fails after ``within_s`` virtual seconds."""
        check_claim("eventually", claim)
        check_spans(within_s=within_s, every_s=every_s)
        end, why = round(self.now + within_s, 3), _asked(claim)
        while why and self.now < end:
            self.advance(min(every_s, end - self.now))
            why = _asked(claim)
        if why:
            raise AssertionError(f"not within {within_s:g} s: {why}")

    @_plain
    def always(self, claim: Callable[[], Any], for_s: float = 60.0, every_s: float = 1.0) -> None:
        """Let ``for_s`` virtual seconds pass, and fail as soon as a claim does not hold."""
        check_claim("always", claim)
        check_spans(for_s=for_s, every_s=every_s)
        begun, end = self.now, round(self.now + for_s, 3)
        while True:
            if why := _asked(claim):
                raise AssertionError(f"not any more after {self.now - begun:g} s: {why}")
            if self.now >= end:
                return
            self.advance(min(every_s, end - self.now))

    # -- what there is -------------------------------------------------------------------------------------------------

    @_plain
    def ready(self, workload: str) -> int:
        """Return how many pods of ``Kind/namespace/name`` are Ready and not being deleted."""
        check_name("a workload", workload)
        return self._seen.ready(workload)

    @_plain
    def pods(self, workload: str) -> list[Obj]:
        """Return all pods of ``Kind/namespace/name``, by name."""
        check_name("a workload", workload)
        return self._seen.pods(workload)

    @_plain
    def nodes(self) -> list[str]:
        """Return the nodes' names."""
        return self._seen.nodes()

    @_plain
    def get(self, target: str) -> Obj | None:
        """Return the object ``Kind/namespace/name`` (``Kind/name`` if it has no namespace), None if there is none."""
        check_name("an object", target)
        return self._seen.get(target)

    @property
    def violations(self) -> list[tuple[Property, Violation]]:
        """Return what the built-in properties (`kchaos properties`) have found so far; those of the end say nothing before :meth:`judge`."""
        return list(self._running.session.violations)

    @_plain
    def judge(self, fail_on: str = "error") -> None:
        """End it: undo all faults, let the cluster settle, and fail if a property of that severity or worse is violated or undecided.

        Most is claimed after :meth:`deploy`, and of one fault at a time: what is done within three minutes of a fault is a second one.
        """
        if fail_on not in list(Severity):
            raise InvalidScenario(f"fail_on is {fail_on!r}", hint=f"write {', '.join(Severity)}")
        outcome = self._running.session.finish()
        bad = [(prop, found) for prop, found in outcome.violations if found.severity.rank <= Severity(fail_on).rank or undecided(found)]
        if bad:
            raise AssertionError("\n".join(f"{prop.id} {prop.name}: {found.object}: {found.summary}" for prop, found in bad))

    @property
    def history(self) -> Run:
        """Return what has happened so far; without a digest."""
        return self._running.session.cluster.recorder.so_far()

    @property
    def scenario(self) -> Scenario:
        """Return what was done so far as a scenario: `kchaos replay` does it again."""
        return msgspec.structs.replace(self._running.session.scenario, name=f"{self._name}: what the test did")

    def told(self) -> str:
        """Return what happened, for the text of a failed test, and save it as a scenario; empty if the cluster was not used."""
        if self._now is None or not self._now.session.scenario.steps:
            return ""
        lines = ["what happened in the cluster:", *(f"  {sentence}" for sentence in story(self.history))]
        place = self._out / f"{stem_of(self._name)}.scenario.json"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            whole(place, self.scenario.save)
            lines += ["the same steps again:", f"  kchaos replay {shown(place)}"]
        except OSError as error:
            lines.append(f"warning: can't write {shown(place)}: {error.strerror or error}")
        return harmless("\n".join(lines))

    def __repr__(self) -> str:
        return f"<cluster at {self.now:g} s>" if self._now is not None else "<cluster, not started>"

    # -- below ---------------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> _Running:
        if self._now is None:
            system, booted = self._image()
            scenario = Scenario(seed=self._asked.seed, topology=msgspec.to_builtins(system.topology), inputs=dict(system.inputs))
            self._now = _Running(system, Session(system, booted, scenario))
        return self._now

    @property
    def _seen(self) -> Seen:
        return Seen(self._running.session.cluster)

    def _image(self) -> tuple[System, Boot]:
        asked = self._asked
        key = (
            asked,
            self._files.folder if asked.topology or asked.config else None,
            digest(list(self._deployed)) if self._deployed else "",
        )
        if key not in self._images:
            settings = self._settings()
            machines: Machines = of_file(self._files.find(asked.topology)) if asked.topology else of_numbers(asked.nodes, asked.zones, [])
            topology = msgspec.structs.replace(machines.topology, masters=asked.masters) if asked.masters > 1 else machines.topology
            inputs = inputs_of(self._deployed, list(machines.objects), settings, settings.kubernetes or DEFAULT)
            system = build(msgspec.to_builtins(topology), inputs)
            booted = boot(system, asked.seed)
            refuse_unknown_keys(settings.declared(), booted)
            self._images[key] = (system, booted)
        return self._images[key]

    def _settings(self) -> Settings:
        return self._files.settings(self._asked.config, ())[0] if self._asked.config else Settings()

    def _objects(self, what: Sequence[What], namespace: str) -> list[Obj]:
        if not isinstance(namespace, str):
            raise InvalidScenario(f"namespace is {namespace!r}", hint="write a namespace's name")
        check_namespace(namespace)
        texts: list[Text] = []
        for index, one in enumerate(what):
            if isinstance(one, (str, PathLike)):
                texts += self._files.texts([fspath(one)], name=f"cluster.apply()[{index}]")
            else:
                if not isinstance(one, Mapping | list | tuple):
                    raise InvalidScenario(f"{one!r} is no Kubernetes object", hint="give a path, YAML text, a dict, or a list of dicts")
                objects = [one] if isinstance(one, Mapping) else one
                trees = [json_tree("a Kubernetes object", obj) for obj in objects]
                texts += [Text(f"cluster.apply()[{index}]", json.dumps(tree).encode("utf-8")) for tree in trees]
        loaded = load(texts, namespace, self._settings().kubernetes or DEFAULT)
        for note in loaded.notes:
            if note.level == "error":
                raise InvalidScenario(note.message, location=Location(note.file, note.line), hint=note.hint)
        if loaded.custom:
            raise InvalidScenario(f"a kind that the simulated API server does not know: {loaded.custom[0]}", hint="apply the other objects")
        if not loaded.manifests:
            raise InvalidScenario("no Kubernetes object to apply", hint="give a path, YAML text, or a dict")
        return [one.obj for one in loaded.manifests]

    def _do(self, step: Step) -> int:
        running = self._running
        check_now(step, running.system, running.session.cluster.control.store)
        return running.session.inject(step)

    def _user(self, what: str, target: str, **args: Any) -> None:
        """Do something as a user does it: wait for the answer. Raises Refused, also if nobody answers."""
        session = self._running.session
        begun, since = len(session.cluster.recorder.entries), self.now
        index = self._do(Step(do=what, args={"target": target, **args}))
        answered = False
        while not answered and self.now < since + PATIENCE_S:
            self.advance(ANSWER_S)
            answered = session.answered(index)
        for entry in session.cluster.recorder.entries[begun:]:
            if isinstance(entry, Mark) and entry.what == "operation" and _refuses(entry.data, what, target):
                raise Refused(f"{what} {target}: {entry.data['why']}")
        if not answered:
            raise Refused(f"{what} {target}: no API server has answered within {PATIENCE_S:g} s; it may still be done")

    @_plain
    def list(self, kind: str, namespace: str = "") -> list[Obj]:
        """Return all objects of a kind, in one namespace or in all, by name."""
        return self._seen.list(kind, namespace)


def _refuses(mark: Mapping[str, Any], what: str, target: str) -> bool:
    """Tell whether a mark says that this request was refused, and no other that was under way."""
    return mark.get("state") == "refused" and mark.get("what") == what and mark.get("target") == target


def _asked(claim: Callable[[], Any]) -> str:
    """Return why a claim does not hold, empty if it does."""
    try:
        found = claim()
    except AssertionError as error:
        return str(error) or "a claim is false"
    if found is None:
        return "the claim returns None (if it never returns anything else: return whether it holds)"
    return "" if found else f"the claim is {found!r}"
