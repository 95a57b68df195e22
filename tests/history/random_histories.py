"""Random histories: what a linearizable store would have answered to a few processes, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kchaos.history.events import Event, Log, log_of
from kchaos.history.operations import Operation, Outcome, Seen
from tests.history.bruteforce import EMPTY, Store, apply, changes

KEYS = ("a", "b", "c")


def _asked(random: Random, store: Store, number: int, keys: Sequence[str], values: int) -> dict[str, object]:
    """Draw what is asked for: the few values make equal ones likely."""
    held = dict(store[1])
    key = random.choice(keys)
    value = f"v{random.randrange(values)}" if values else f"v{number}"
    known = held[key][1] if key in held else 0
    mod = known if random.random() < 0.7 else random.choice((0, 2, 3, 4))
    match random.choice(("put", "put", "put", "get", "get", "cas", "cas", "delete", "txn", "txn", "txn")):
        case "put":
            return {"kind": "put", "writes": ((key, value),)}
        case "get":
            return {"kind": "get", "reads": (key,)}
        case "cas":
            reads = (key,) if random.random() < 0.5 else ()
            return {"kind": "cas", "compares": ((key, mod),), "writes": ((key, value),), "reads": reads}
        case "delete":
            return {"kind": "delete", "writes": ((key, None),)}
        case _:
            many = random.sample(keys, random.randint(1, len(keys)))
            writes = tuple((k, None if random.random() < 0.35 else f"{value}{k}") for k in many)
            compares = tuple((k, held[k][1] if k in held else 0) for k in many[: random.randrange(3)]) if random.random() < 0.4 else ()
            reads = tuple(random.sample(keys, random.randrange(len(keys) + 1)))
            return {"kind": "txn", "writes": writes if random.random() < 0.85 else (), "compares": compares, "reads": reads}


def history(random: Random, most: int = 8, processes: int = 4, events: list[Event] | None = None) -> list[Operation]:
    """Return up to ``most`` operations as a linearizable store answered them; some answers were lost, with or without effect.

    What happened in the store is added to ``events``, whoever was told of it.
    """
    keys = KEYS[: random.randint(1, 3)]
    values = random.choice((0, 0, 1, 2))
    lost = random.choice((0.0, 0.15, 0.3, 0.5, 0.7, 0.7))
    store = EMPTY
    out: list[Operation] = []
    busy = [0.0] * random.randint(2, processes)
    count = random.choice((random.randint(1, most), most))
    late: list[int] = []
    t = 0.0

    def take(one: Operation) -> tuple[int, bool, tuple[tuple[object, ...], ...], int]:
        """Let it take effect; return its answer."""
        nonlocal store
        after, answer = apply(store, one)
        if events is not None and after[0] != store[0]:
            events.extend(changes(store, after))
        store = after
        return answer

    for number in range(count):
        t += random.choice((0.0, 1.0, 1.0, 2.0))  # the instants at which operations take effect: in this order
        process = random.randrange(len(busy))
        call = max(busy[process], t - random.choice((0.0, 0.5, 1.0, 3.0)))
        t = max(t, call)
        end = t + random.choice((0.0, 0.5, 1.0, 3.0))
        busy[process] = end + random.choice((0.0, 0.5))
        asked = _asked(random, store, number, keys, values)
        one = Operation(process, random.choice(("m1", "m2")), call_s=call, return_s=end, outcome=Outcome.OK, **asked)  # type: ignore[arg-type]
        unknown = random.random() < lost
        if unknown:
            one = one._replace(outcome=Outcome.UNKNOWN, error="timeout")
            if random.random() < 0.5:
                late.append(len(out))  # takes effect later, or never
            else:
                take(one)
        else:
            revision, succeeded, seen, deleted = take(one)
            one = one._replace(revision=revision, succeeded=succeeded, seen=tuple(Seen(*s) for s in seen), deleted=deleted)  # type: ignore[misc]
        out.append(one)
        if late and random.random() < 0.3:
            take(out[late.pop(random.randrange(len(late)))])
    random.shuffle(out)
    return out


def log_for(events: Sequence[Event]) -> Log:
    """Return the whole log of a member that holds what happened."""
    return log_of("m1", events, 1, max((event.mod_revision for event in events), default=1))


def shortened(random: Random, log: Log) -> Log:
    """Return a log that tells of fewer revisions, and says so: its beginning is compacted away, or its member is behind. All that it says is true."""
    first, last = log.first, log.last
    if random.random() < 0.6:
        first = random.randint(1, log.last)
    if random.random() < 0.6:
        last = random.randint(first, log.last)
    return Log(log.member, first, last, {revision: events for revision, events in log.revisions.items() if first <= revision <= last})


def spoiled_log(random: Random, log: Log) -> Log:
    """Return a log that is wrong in one place, or, by chance, true all the same."""
    revisions = dict(log.revisions)
    last = log.last
    what = random.randrange(7) if revisions else 6
    at = random.choice(sorted(revisions)) if revisions else 0
    if what == 0:  # a revision that it does not hold
        del revisions[at]
    elif what == 1:  # a revision that it does not hold, and what came after it is one too early
        last -= 1
        moved = {one - (one > at): [event._replace(mod_revision=event.mod_revision - (one > at)) for event in events] for one, events in revisions.items() if one != at}
        revisions = {one: tuple(events) for one, events in moved.items()}
    elif what == 2:  # two revisions with each other's contents
        other = random.choice(sorted(revisions))
        revisions[at], revisions[other] = (tuple(event._replace(mod_revision=to) for event in revisions[of]) for to, of in ((at, other), (other, at)))
    elif what == 3:  # one key of several left out, or one too many
        events = revisions[at]
        absent = [key for key in KEYS if key not in {event.key for event in events}]
        if len(events) > 1 or not absent:
            revisions[at] = events[1:]
        else:
            revisions[at] = tuple(sorted((*events, Event(random.choice(absent), "v0", at, at, 1))))
    elif what in (4, 5):  # another content
        events = revisions[at]
        which = random.randrange(len(events))
        one = events[which]
        if one.value is None:
            change: dict[str, object] = {"value": "v0", "version": 1, "create_revision": at}
        else:
            other = {"value": random.choice(("v0", "v1", "vq"))}
            gone = {"value": None, "version": 0, "create_revision": 0}
            change = random.choice((other, gone, {"version": one.version + 1}, {"create_revision": max(1, one.create_revision - 1)}))
        revisions[at] = (*events[:which], one._replace(**change), *events[which + 1 :])  # type: ignore[arg-type]  # fields of an event
    else:  # a write at the end that nobody was told of: one that had no answer may have made it
        last += 1
        revisions[last] = (Event(random.choice(KEYS), random.choice(("v0", "v1", "v2")), last, *random.choice(((last, 1), (2, 2), (3, 2)))),)
    return Log(log.member, log.first, last, revisions)


def spoiled(random: Random, operations: Sequence[Operation]) -> list[Operation]:
    """Return the history with one to two of its answers changed in one place; it may be linearizable all the same."""
    out = list(operations)
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(out))
        one = out[at]
        what = random.randrange(10)
        step = random.choice((-2, -1, 1, 2))
        if what == 0:
            one = one._replace(revision=max(1, one.revision + step)) if one.outcome is Outcome.OK else one
        elif what in (1, 2) and one.seen:
            which = random.randrange(len(one.seen))
            seen = one.seen[which]
            change = random.randrange(5)
            if change == 0:
                seen = Seen(seen.key, None)
            elif change == 1:
                seen = seen._replace(value=random.choice((None, "v0", "v1", "vx")))
            elif change == 2:
                seen = seen._replace(mod_revision=max(0, seen.mod_revision + step))
            elif change == 3:
                seen = seen._replace(version=max(0, seen.version + step))
            else:
                seen = seen._replace(create_revision=max(0, seen.create_revision + step))
            one = one._replace(seen=(*one.seen[:which], seen, *one.seen[which + 1 :]))
        elif what == 3:
            one = one._replace(succeeded=not one.succeeded) if one.outcome is Outcome.OK else one
        elif what == 4:
            one = one._replace(deleted=max(0, one.deleted + step)) if one.outcome is Outcome.OK else one
        elif what == 5:
            shift = random.choice((-3.0, -1.5, 1.5, 3.0))
            one = one._replace(call_s=one.call_s + shift, return_s=one.return_s + shift)
        elif what == 6 and len(out) > 1:
            del out[at]
            continue
        elif what == 7:
            one = one._replace(outcome=Outcome.FAILED, error="refused")
        elif what == 8:
            one = one._replace(outcome=Outcome.UNKNOWN, error="timeout", seen=(), revision=0, deleted=0, succeeded=True)
        elif one.writes:
            which = random.randrange(len(one.writes))
            key, value = one.writes[which]
            one = one._replace(writes=(*one.writes[:which], (key, "vy" if value is None else random.choice((None, "v0", "vz"))), *one.writes[which + 1 :]))
        out[at] = one
    return out
