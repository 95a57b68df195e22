"""The nemesis resolves targets when a step fires, undoes all that it injected, and says why a step did nothing."""

from __future__ import annotations

from typing import Any

from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Active, Catalog, Evidence, Kind, Together
from kchaos.nemesis.schedule import Nemesis
from kchaos.nemesis.targets import Call, Resolved
from kchaos.scenario import At, Nth, Step


class Counted:
    """A fault that writes down what happens to it."""

    def __init__(self, log: list[str], args: dict[str, Any]) -> None:
        self._log, self._name = log, f"{args['target']}{args.get('from', '')}"
        log.append(f"inject {self._name}")

    def undo(self) -> None:
        self._log.append(f"undo {self._name}")

    def evidence(self) -> Evidence:
        return {"times": 1, "who": self._name}


class Timer:
    def __init__(self, world: World, due: tuple[float, Any]) -> None:
        self._world, self._due = world, due

    def cancel(self) -> None:
        self._world.due.remove(self._due)


class World:
    """Time, a log, and what the word ``leader`` means now."""

    def __init__(self, *steps: Step) -> None:
        self.leaders: tuple[str, ...] = ("a",)
        self.log: list[str] = []
        self.marks: list[dict[str, Any]] = []
        self.due: list[tuple[float, Any]] = []
        kinds: Catalog[World] = Catalog(self._resolve)
        kinds.add(Kind(name="cut", summary="", klass="network", target="node", inject=self._inject))
        own = Argument("from", "leader()", target="node")
        kinds.add(Kind(name="apart", summary="", klass="network", target="node", arguments=(own,), inject=self._inject))
        self.nemesis = Nemesis(self, kinds, steps, self._later, lambda what, **data: self.marks.append({"what": what, **data}))

    def _inject(self, _: World, args: dict[str, Any]) -> Active:
        return Counted(self.log, args)

    def _resolve(self, _: World, kind: Kind[World], sort: str, text: str, of: str) -> Resolved:
        if not text.startswith("leader("):
            return Resolved((text,))
        return Resolved(self.leaders, f"the leader{' seen by ' * bool(of)}{of}" if self.leaders else "nobody leads now")

    def _later(self, delay_s: float, callback: Any) -> Timer:
        self.due.append((delay_s, callback))
        return Timer(self, self.due[-1])

    def pass_time(self) -> None:
        for _, callback in self.due:
            callback()


def test_a_target_is_resolved_when_the_step_fires() -> None:
    world = World(Step(do="cut", args={"target": "leader()"}, when=At(5.0)))
    world.nemesis.arm()
    world.leaders = ("b",)
    world.pass_time()
    world.leaders = ("c",)
    world.nemesis.heal()
    assert world.log == ["inject b", "undo b"]
    injected = next(m for m in world.marks if m.get("action") == "injected")
    assert (injected["args"], injected["asked"], injected["words"]) == ({"target": "b"}, "leader()", "the leader")
    (line,) = world.nemesis.report()
    assert (line["args"], line["targets"], line["status"]) == ({"target": "leader()"}, ["b"], "bit")


def test_a_plain_name_is_marked_as_it_was() -> None:
    world = World(Step(do="cut", args={"target": "n"}))
    world.nemesis.arm()
    world.pass_time()
    assert world.marks == [{"what": "fault", "step": 0, "name": "cut", "action": "injected", "args": {"target": "n"}, "planned": False}]
    assert "targets" not in world.nemesis.report()[0]


def test_several_targets_are_several_faults_of_one_step() -> None:
    """Each has its mark; their evidence is added up; the last is undone first."""
    world = World(Step(do="cut", args={"target": "leader()"}))
    world.leaders = ("a", "b")
    world.nemesis.arm()
    world.pass_time()
    world.nemesis.heal()
    assert world.log == ["inject a", "inject b", "undo b", "undo a"]
    assert [m["action"] for m in world.marks] == ["injected", "injected", "healed"]
    assert world.nemesis.report()[0]["evidence"] == {"times": 2, "who": "b"}


def test_a_target_that_is_nothing_makes_the_step_inert() -> None:
    world = World(Step(do="cut", args={"target": "leader()"}, for_s=3.0))
    world.leaders = ()
    world.nemesis.arm()
    world.pass_time()
    world.nemesis.heal()
    assert [(m["action"], m.get("why")) for m in world.marks] == [("unresolved", "nobody leads now")]
    (line,) = world.nemesis.report()
    assert (line["status"], line["why"]) == ("inert", "nobody leads now")


def test_arguments_are_targets_too() -> None:
    world = World(Step(do="apart", args={"target": "n"}))
    world.leaders = ("a", "b")
    world.nemesis.arm()
    world.pass_time()
    assert world.log == ["inject na,b"]
    world = World(Step(do="apart", args={"target": "n"}))
    world.leaders = ()
    world.nemesis.arm()
    world.pass_time()
    assert world.log == [] and world.nemesis.report()[0]["why"] == "nobody leads now"


def test_healing_disarms_first() -> None:
    world = World(
        Step(do="cut", args={"target": "a"}), Step(do="cut", args={"target": "b"}, when=Nth({"on": "x"}, 1)),
        Step(do="cut", args={"target": "c"}, when=At(9.0)),
    )  # fmt: skip
    world.nemesis.arm()
    world.due[0][1]()
    world.nemesis.heal()
    world.nemesis.observe({"on": "x"})
    assert [m["action"] for m in world.marks] == ["injected", "disarmed", "disarmed", "healed"]
    assert world.log == ["inject a", "undo a"]
    assert [line["status"] for line in world.nemesis.report()] == ["bit", "disarmed", "disarmed"]


def test_together_is_inert_without_parts() -> None:
    assert Together(()).evidence() == {}


def test_how_calls_are_written() -> None:
    assert Call.of("node-of( Deployment/default/web )") == Call("node-of", "Deployment/default/web")
    assert Call.of("minority()") == Call("minority", "")
    assert [Call.of(text) for text in ("node-1", "leader(", "leader(a)(b)", "Leader(a)", "")] == [None] * 5
