"""Processes that work for this one: each is asked one thing after the other over its own pipe.

They never hear Ctrl-C, which a terminal sends to them too: their parent decides. They end when it does, however it ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from kchaos.errors import HarnessError

AHEAD = 2
"""Questions that one worker is sent before it has answered the first."""
BUFFERED = 4
"""Answers per worker that wait for an earlier one, at most."""


def _until_parent_ends() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def seldom_collect() -> None:
    """Let Python look for garbage in cycles seldom: what a simulation makes is large, and nearly all of it lives until its run is over.

    For processes that are ours alone: measured, a seventh of the time of an example.
    """
    gc.set_threshold(20_000, 20, 20)


@contextmanager
def not_collecting() -> Generator[None]:
    """Let Python look for no garbage in cycles meanwhile: for what makes many objects, none of them in a cycle.

    Measured: a fifth of what it takes to judge a saved run of real etcd with 233,000 operations again.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _serve(pipe: Connection, prepare: Callable[[Any], Callable[[Any], Any]]) -> None:
    """Answer questions until the parent has no more. The first message is what to prepare with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_until_parent_ends, daemon=True).start()
    seldom_collect()
    try:
        answer = prepare(pipe.recv())
        while (question := pipe.recv()) is not None:
            pipe.send((True, answer(question)))
    except (EOFError, OSError):
        pass  # the parent is gone
    except BaseException:
        with suppress(OSError):
            pipe.send((False, traceback.format_exc()))


@contextmanager
def _silent() -> Iterator[None]:
    """Block Ctrl-C: a process started meanwhile never hears it, from its very first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it unblocks signals when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers:
    """``count`` processes; ``prepare(first)`` returns in each what answers questions. Raises HarnessError if one fails."""

    def __init__(self, count: int, prepare: Callable[[Any], Callable[[Any], Any]], first: Any) -> None:
        self._pipes: dict[Connection, BaseProcess] = {}
        self._context = multiprocessing.get_context("spawn")
        try:
            with _silent():
                for _ in range(count):
                    self._start(prepare)
            for pipe in self._pipes:
                self._send(pipe, first)
        except BaseException:
            self.kill()
            raise

    def _start(self, prepare: Callable[[Any], Callable[[Any], Any]]) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        process.start()
        theirs.close()
        self._pipes[ours] = process

    def _send(self, pipe: Connection, message: Any) -> None:
        try:
            pipe.send(message)
        except OSError as error:
            raise self._ended(pipe) from error

    def _ended(self, pipe: Connection) -> HarnessError:
        process = self._pipes[pipe]
        process.join(5.0)
        return HarnessError(f"a worker process ended by itself (exit code {process.exitcode}); with fewer -j there is more memory for each")

    def answers(self, questions: Iterator[Any]) -> Generator[Any, None, None]:
        """Yield the answers in the order of the questions."""
        asked: dict[Connection, list[int]] = {pipe: [] for pipe in self._pipes}
        found: dict[int, Any] = {}
        number = given = 0
        more = True
        while True:
            while given in found:
                yield found.pop(given)
                given += 1
            for pipe in sorted(asked, key=lambda one: len(asked[one])):
                while more and len(asked[pipe]) < AHEAD and number - given < BUFFERED * len(asked):
                    question = next(questions, None)
                    if question is None:
                        more = False
                        break
                    self._send(pipe, question)
                    asked[pipe].append(number)
                    number += 1
            if given == number:
                return
            for ready in wait([pipe for pipe, numbers in asked.items() if numbers]):
                assert isinstance(ready, Connection)
                try:
                    good, answer = ready.recv()
                except (EOFError, OSError) as error:
                    raise self._ended(ready) from error
                if not good:
                    raise HarnessError(f"a worker process failed:\n{answer}")
                found[asked[ready].pop(0)] = answer

    def kill(self) -> None:
        """End all of them at once."""
        for process in self._pipes.values():
            process.kill()
        for pipe, process in self._pipes.items():
            process.join()
            pipe.close()
        self._pipes.clear()
