"""Long histories, as a linearizable etcd would have answered them: for the figures, and for planting a single bug in many operations."""

from __future__ import annotations

from random import Random

from kchaos.history.operations import Operation, Outcome, Seen

MEMBERS = ("m1", "m2", "m3")


def long_history(count: int, seed: int = 1, keys: int = 64, processes: int = 12, unknown_every: int = 500) -> list[Operation]:
    """Return ``count`` operations of several processes at about 1,000 a second, in the order in which they returned or were given up.

    One of ``unknown_every`` writes has no answer; half of those took effect, some long after.
    """
    random = Random(seed)
    names = [f"k{i}" for i in range(keys)]
    state: dict[str, Seen] = {}
    revision, t = 1, 0.0
    free = [0.0] * processes
    out: list[Operation] = []
    pending: list[tuple[str, str]] = []
    ok, unknown = Outcome.OK, Outcome.UNKNOWN

    def put(key: str, value: str) -> None:
        old = state.get(key)
        state[key] = Seen(key, value, revision, old.version + 1 if old else 1, old.create_revision if old else revision)

    for number in range(count):
        t += random.random() * 0.002
        process = min(range(processes), key=free.__getitem__) if number % 3 else number % processes
        call = max(free[process], t - random.random() * 0.008)
        t = max(t, call)
        end = t + random.random() * 0.008
        free[process] = end + 0.0001
        key, member, dice = names[random.randrange(keys)], MEMBERS[process % 3], random.random()
        here = state.get(key)
        seen = (here if here is not None else Seen(key, None),)
        if dice < 0.45:
            out.append(Operation(process, member, "get", call, end, ok, reads=(key,), revision=revision, seen=seen))
            continue
        value = f"v{number}"
        if number % unknown_every == unknown_every - 1:
            out.append(Operation(process, member, "put", call, end + 1.0, unknown, writes=((key, value),), error="deadline"))
            free[process] += 1.0
            if random.random() < 0.5:
                pending.append((key, value))
            continue
        if pending and random.random() < 0.05:
            revision += 1
            put(*pending.pop())
            here = state.get(key)
            seen = (here if here is not None else Seen(key, None),)
        if dice < 0.8:
            revision += 1
            put(key, value)
            out.append(Operation(process, member, "put", call, end, ok, writes=((key, value),), revision=revision))
        elif dice < 0.9:
            wanted = here.mod_revision if here is not None and dice < 0.88 else 1
            held = wanted == (here.mod_revision if here is not None else 0)
            revision += held
            if held:
                put(key, value)
            out.append(
                Operation(process, member, "cas", call, end, ok, ((key, wanted),), ((key, value),), (key,), revision, held, seen)
            )  # fmt: skip
        elif dice < 0.95:
            there = here is not None
            revision += there
            state.pop(key, None)
            out.append(Operation(process, member, "delete", call, end, ok, writes=((key, None),), revision=revision, deleted=int(there)))
        else:
            other = names[(names.index(key) + 1) % keys]
            revision += 1
            put(key, value)
            put(other, value)
            out.append(Operation(process, member, "txn", call, end, ok, writes=((key, value), (other, value)), revision=revision))
    out.sort(key=lambda one: one.return_s)
    return out
