"""Ctrl-C and SIGTERM: the first ends a campaign early and keeps what is known; whatever comes later ends the process."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


AGAIN_S = 0.02
"""After how long a signal comes again whose exception was lost."""


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    _stop(KeyboardInterrupt())


def _terminated(_number: int, _frame: FrameType | None) -> None:
    _stop(Terminated())


def _stop(error: KeyboardInterrupt) -> None:
    # a simulation that is broken off leaves coroutines that never began: nobody has to know
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    raise error


def _lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Send the signal again: an exception that a handler raises while Python runs a destructor, or a weak reference's callback, gets lost.

    It comes from a thread, a moment later: sent from here, it would be lost in the same destructor.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
    elif not sys.is_finalizing():
        again = threading.Timer(AGAIN_S, _send, [signal.SIGTERM if issubclass(unraisable.exc_type, Terminated) else signal.SIGINT])
        again.daemon = True
        again.start()


def _send(number: signal.Signals) -> None:
    if hasattr(signal, "pthread_kill"):  # to the thread that handles it, so that a sleep or a read of it ends, too
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(number)


@contextmanager
def listening() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and Terminated on SIGTERM and SIGHUP, within; a shell that asks to ignore one is obeyed."""
    handlers = {signal.SIGINT: _interrupted, signal.SIGTERM: _terminated}
    if hasattr(signal, "SIGHUP"):  # the terminal is closed: what was started goes with it (not so under nohup, which ignores it)
        handlers[signal.SIGHUP] = _terminated
    before = {number: signal.getsignal(number) for number in handlers}
    hook = sys.unraisablehook
    sys.unraisablehook = _lost
    try:
        for number, handler in handlers.items():
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, handler)
        yield
    finally:
        sys.unraisablehook = hook
        for number, old in before.items():
            if old is not None:
                signal.signal(number, old)


@contextmanager
def cancelling(task: asyncio.Task[object]) -> Iterator[list[KeyboardInterrupt]]:
    """Within, the first Ctrl-C, SIGTERM or SIGHUP cancels a task of the running loop, later ones do nothing; the list then holds what was asked.

    An exception raised by a handler would come up in whatever task runs at that moment, and end the loop before the others are done.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    heard: list[KeyboardInterrupt] = []

    def hear(error: KeyboardInterrupt) -> None:
        if not heard:
            heard.append(error)
            task.cancel()

    errors = {signal.SIGINT: KeyboardInterrupt(), signal.SIGTERM: Terminated()}
    if hasattr(signal, "SIGHUP"):
        errors[signal.SIGHUP] = Terminated()
    before = {number: signal.getsignal(number) for number in errors} if threading.current_thread() is threading.main_thread() else {}
    taken = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    try:
        for number in taken:
            loop.add_signal_handler(number, hear, errors[number])
        yield heard
    finally:
        for number, old in taken.items():
            loop.remove_signal_handler(number)
            if old is not None:
                signal.signal(number, old)


def deaf() -> None:
    """Ignore Ctrl-C and SIGTERM from now on: all is said, the process is about to end."""
    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_IGN)
