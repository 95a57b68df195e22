"""A deterministic asyncio event loop that owns virtual time and the order of everything.

Order is total: ready callbacks first in, first out; then the earliest timer, ties by the order in which timers were set. Each
callback belongs to an *owner* (a process, or None for the world itself); a crashed owner's callbacks are never run again, a paused
owner's are held until it resumes. Methods of asyncio that are not needed raise: a free fence around what models may use.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from kchaos.errors import HarnessError


class Owner:
    """Whoever a callback belongs to; the unit that crashes and pauses."""

    __slots__ = ("context", "crashed", "held", "name", "paused", "tasks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.crashed = False
        self.paused = False
        self.held: list[Handle] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}
        # An empty Context is falsy and asyncio reads that as "none given": a variable in it makes it truthy.
        self.context = contextvars.Context()
        self.context.run(_OWNER.set, self)


_OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("kchaos_owner", default=None)
WORLD = contextvars.Context()
WORLD.run(_OWNER.set, None)


class Handle:
    """One callback to run; doubles as asyncio's Handle and TimerHandle."""

    __slots__ = ("_when", "args", "background", "callback", "context", "owner")

    def __init__(
        self,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        owner: Owner | None,
        context: contextvars.Context | None,
        when: float,
        background: bool,
    ) -> None:
        self.callback = callback
        self.args = args
        self.owner = owner
        self.context = context
        self._when = when
        self.background = background

    def cancel(self) -> None:
        """Never run; what it refers to is let go."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Tell whether it was cancelled or has run."""
        return self.callback is None

    def when(self) -> float:
        """Return the time it is due, in the loop's seconds."""
        return self._when


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its sequence number, so that sets of tasks (asyncio.TaskGroup) iterate in one order everywhere."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, loop: SimLoop, **kwargs: Any) -> None:
        self._kchaos_number = loop.next_number()
        super().__init__(coroutine, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self._kchaos_number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.AbstractEventLoop):
    """Virtual time in seconds since the start of the run; ``deliveries`` counts callbacks run."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = start_s
        self._ready: deque[Handle] = deque()
        self._heap: list[tuple[float, int, Handle]] = []
        self._number = 0
        self._owner: Owner | None = None
        self._closed = False
        self.deliveries = 0
        self.failure: BaseException | None = None

    # -- what tasks and futures ask of their loop -------------------------------------------------------------------

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def get_debug(self) -> bool:
        """Return False: asyncio's debug mode reads the wall clock."""
        return False

    def is_running(self) -> bool:
        """Return True while callbacks are run."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Return True after :meth:`close`."""
        return self._closed

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: contextvars.Context | None = None, **_: Any) -> Any:
        """Start ``coro``; it belongs to the owner in ``context``, else to the one now running."""
        return SimTask(coro, loop=self, name=name, context=context)

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:  # type: ignore[override]  # Any, for the TypeVarTuple
        """Run after all that is already ready, for the owner in ``context``, else for the one now running."""
        if self._closed:
            return Handle(None, (), None, None, self._now, False)
        owner = self._owner if context is None else context.get(_OWNER)
        handle = Handle(callback, args, owner, context, self._now, False)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:  # type: ignore[override]  # Any, for the TypeVarTuple
        """Run at ``when``; never before now."""
        owner = self._owner if context is None else context.get(_OWNER)
        return self.schedule(when, callback, args, owner, context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:  # type: ignore[override]  # Any, for the TypeVarTuple
        """Run ``delay`` seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the first failure of a callback or task; :meth:`run` raises it. Nothing is swallowed."""
        error = context.get("exception") or HarnessError(str(context.get("message", "unknown failure")))
        if self.failure is None:
            self.failure = error

    # -- our own, cheaper entry points ---------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Return the next sequence number."""
        self._number += 1
        return self._number

    def schedule(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        owner: Owner | None,
        context: contextvars.Context | None = None,
        background: bool = False,
    ) -> Handle:
        """Run ``callback`` at ``when`` for ``owner``; background timers do not keep a run alive."""
        if when < self._now:
            when = self._now
        handle = Handle(callback, args, owner, context, when, background)
        if not self._closed:
            self._number += 1
            heapq.heappush(self._heap, (when, self._number, handle))
        return handle

    def soon(self, callback: Callable[..., object], args: tuple[Any, ...], owner: Owner | None) -> None:
        """Run ``callback`` for ``owner`` after all that is already ready."""
        if not self._closed:
            self._ready.append(Handle(callback, args, owner, None, self._now, False))

    @property
    def owner(self) -> Owner | None:
        """Return the owner of the callback now running."""
        return self._owner

    def run_as(self, owner: Owner | None, callback: Callable[..., object], *args: Any) -> None:
        """Call at once, on behalf of ``owner``."""
        before = self._owner
        self._owner = owner
        try:
            callback(*args)
        finally:
            self._owner = before

    def foreground_after(self, when_s: float) -> bool:
        """Tell whether a living owner has a foreground timer due after ``when_s``: something is still going to happen. O(timers)."""
        return any(
            when > when_s
            and not handle.background
            and handle.callback is not None
            and not (handle.owner is not None and handle.owner.crashed)
            for when, _, handle in self._heap
        )

    def resume(self, owner: Owner) -> None:
        """Run what was held while ``owner`` was paused, in the order it came due."""
        owner.paused = False
        held, owner.held = owner.held, []
        self._ready.extend(held)

    def run(self, until: float) -> None:
        """Run all that is due up to and including ``until``, then set the time to it. Raises what any callback raised.

        Another loop's task may call this (an asynchronous test, say): it steps aside meanwhile.
        """
        before = asyncio._get_running_loop()
        outside = asyncio.current_task(before) if before is not None else None
        if before is not None and outside is not None:
            asyncio.tasks._leave_task(before, outside)
        asyncio._set_running_loop(self)
        ready, heap, pop = self._ready, self._heap, heapq.heappop
        collecting = gc.isenabled()
        gc.disable()  # objects are trees without cycles; the collector's pauses cost a third of the run
        count = 0
        try:
            while True:
                if ready:
                    handle = ready.popleft()
                elif heap and heap[0][0] <= until:
                    entry = pop(heap)
                    self._now = entry[0]
                    handle = entry[2]
                else:
                    break
                callback = handle.callback
                if callback is None:
                    continue
                owner = handle.owner
                if owner is not None:
                    if owner.crashed:
                        continue
                    if owner.paused:
                        owner.held.append(handle)
                        continue
                self._owner = owner
                count += 1
                args = handle.args
                handle.callback = None
                if handle.context is None:
                    callback(*args)
                else:
                    handle.context.run(callback, *args)
                if self.failure is not None:
                    failure, self.failure = self.failure, None
                    raise failure
            self._now = max(self._now, until)
        finally:
            self.deliveries += count
            self._owner = None
            if collecting:
                gc.enable()
            asyncio._set_running_loop(before)
            if before is not None and outside is not None:
                asyncio.tasks._enter_task(before, outside)

    def close(self) -> None:
        """Drop everything that is left. Coroutines of crashed tasks are let go only now; what their ``finally`` does has no effect."""
        self._closed = True
        self._ready.clear()
        self._heap.clear()


def _fence(name: str) -> Callable[..., NoReturn]:
    def refuse(self: SimLoop, *args: Any, **kwargs: Any) -> NoReturn:
        raise HarnessError(f"asyncio's loop.{name}() does not exist in simulated time; use kchaos.runtime.Runtime instead")

    return refuse


for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("__") and _name not in vars(SimLoop):
        setattr(SimLoop, _name, _fence(_name))
