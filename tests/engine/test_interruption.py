"""Campaigns that end early, and the processes that work for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from kchaos.engine.campaign import BudgetOption, Example
from kchaos.engine.execute import Listener, Question, execute
from kchaos.engine.machines import of_numbers
from kchaos.engine.signals import Terminated
from kchaos.engine.workers import Workers
from kchaos.errors import HarnessError
from kchaos.models.manifests.load import Text
from kchaos.reports.columns import headline
from tests.support import ROOT, SITUATIONS


class Impatient(Listener):
    """Interrupts when that many examples ran."""

    def __init__(self, after: int, error: KeyboardInterrupt) -> None:
        self.after, self.error = after, error

    def ran(self, one: Example) -> None:
        if one.number + 1 == self.after:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Terminated()], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize(("after", "says"), [(3, "UNKNOWN (interrupted): level 1"), (60, "PASS (interrupted): ")])
def test_what_is_known_is_kept_and_said_to_be_cut_short(after: int, says: str, error: KeyboardInterrupt) -> None:
    """After level 1 too: a pass of less than was planned is no plain pass."""
    file = SITUATIONS / "one-replica.healthy.yaml"
    question = Question(
        texts=[Text(file.name, file.read_bytes())], machines=lambda objects: of_numbers(None, None, objects), budget=BudgetOption(100)
    )
    answer = execute(question, Impatient(after, error))
    assert answer.result.examples.interrupted and answer.result.examples.run == after
    assert answer.terminated == isinstance(error, Terminated)
    assert headline(answer.result).startswith(says)


def double(first: int) -> Callable[[int], int]:
    """Prepare a worker."""
    return lambda question: first + 2 * question


def failing(first: int) -> Callable[[int], int]:
    """Prepare a worker that divides by its questions."""
    return lambda question: first // question


def dying(first: int) -> Callable[[int], int]:
    """Prepare a worker that the system ends, as it does when memory is short."""

    def answer(question: int) -> int:
        if question == first:
            os._exit(9)
        return question

    return answer


def answers(prepare: Callable[[int], Callable[[int], int]], first: int, questions: Iterator[int]) -> list[int]:
    """Return what two processes answer."""
    workers = Workers(2, prepare, first)
    try:
        return list(workers.answers(questions))
    finally:
        workers.kill()


def test_answers_come_in_order() -> None:
    assert answers(double, 7, iter(range(100))) == [7 + 2 * one for one in range(100)]
    assert answers(double, 7, iter(())) == []


def test_a_failure_in_a_worker_is_told() -> None:
    with pytest.raises(HarnessError, match="ZeroDivisionError"):
        answers(failing, 10, iter([5, 2, 0, 1]))


def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(HarnessError, match=r"ended by itself \(exit code 9\)"):
        answers(dying, 3, iter(range(6)))


def test_questions_are_drawn_as_they_are_needed() -> None:
    """Not all of a long plan at once."""
    drawn: list[int] = []

    def questions() -> Iterator[int]:
        for one in range(1000):
            drawn.append(one)
            yield one

    workers = Workers(2, double, 0)
    try:
        found = workers.answers(questions())
        assert next(found) == 0 and len(drawn) <= 9
    finally:
        workers.kill()


LOST = """
import os, signal, sys, time, weakref
from kchaos.engine.signals import Terminated, listening

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0)

class Watched:
    pass

def gone(_reference):
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(0)

with listening():
    try:
        if sys.argv[2] == "destructor":
            Destroyed()
        else:
            watched = Watched()
            reference = weakref.ref(watched, gone)
            del watched
        print("lost", flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("where", ["destructor", "weak reference"])
@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_a_signal_that_comes_while_an_object_is_destroyed_is_heard_all_the_same(number: signal.Signals, name: str, where: str) -> None:
    """Python drops what a destructor raises; connections are often closed in one."""
    command = [sys.executable, "-c", LOST, str(int(number)), where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=30, check=False)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["lost", name], "", 0)
