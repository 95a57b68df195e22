"""Random histories: what a linearizable store would have answered to a few processes, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kchaos.history.operations import Operation, Outcome, Seen
from tests.history.bruteforce import EMPTY, Store, apply

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


def history(random: Random, most: int = 8, processes: int = 4) -> list[Operation]:
    """Return up to ``most`` operations as a linearizable store answered them; some answers were lost, with or without effect."""
    keys = KEYS[: random.randint(1, 3)]
    values = random.choice((0, 0, 1, 2))
    lost = random.choice((0.0, 0.15, 0.3, 0.5, 0.7, 0.7))
    store = EMPTY
    out: list[Operation] = []
    busy = [0.0] * random.randint(2, processes)
    count = random.choice((random.randint(1, most), most))
    late: list[int] = []
    t = 0.0
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
                store, _ = apply(store, one)
        else:
            store, (revision, succeeded, seen, deleted) = apply(store, one)
            one = one._replace(revision=revision, succeeded=succeeded, seen=tuple(Seen(*s) for s in seen), deleted=deleted)  # type: ignore[misc]
        out.append(one)
        if late and random.random() < 0.3:
            store, _ = apply(store, out[late.pop(random.randrange(len(late)))])
    random.shuffle(out)
    return out


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
