"""Making and deleting pods in bulk as controllers do: slow start, parallel requests, events.

pkg/controller/controller_utils.go (SlowStartInitialBatchSize) and replica_set.go (slowStartBatch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Request
from kchaos.models.api.tree import Obj
from kchaos.models.client.client import Session
from kchaos.runtime import Runtime

BURST = 500
"""At most this many creations or deletions a sync (replica_set.go: BurstReplicas)."""

Answer = tuple[Obj | None, ApiError | None]


async def all_of(rt: Runtime, api: Session, requests: Sequence[Request], each: Callable[[int, Answer], None]) -> None:
    """Send ``requests`` at once, call ``each(index, answer)`` as answers come, return when all are there."""
    if not requests:
        return
    gate = rt.gate()
    left = len(requests)

    def answered(index: int) -> Callable[[Obj | None, ApiError | None], None]:
        def answer(obj: Obj | None, error: ApiError | None) -> None:
            nonlocal left
            each(index, (obj, error))
            left -= 1
            if left == 0:
                gate.open()

        return answer

    for index, request in enumerate(requests):
        api.client.call(request, answered(index))
    await gate.wait()


async def slow_start(
    rt: Runtime, api: Session, requests: Sequence[Request], each: Callable[[int, Answer], None]
) -> tuple[int, ApiError | None]:
    """Send in batches of 1, 2, 4 … and stop after the batch in which one failed; return (how many succeeded, first error)."""
    done, size, at = 0, 1, 0
    first: list[ApiError] = []
    while at < len(requests) and not first:
        batch = requests[at : at + size]
        before = at

        def answered(index: int, answer: Answer, before: int = before) -> None:
            nonlocal done
            if answer[1] is None:
                done += 1
            else:
                first.append(answer[1])
            each(before + index, answer)

        await all_of(rt, api, batch, answered)
        at += len(batch)
        size *= 2
    return done, first[0] if first else None


def pod_from_template(template: Obj, owner_ref: Obj, prefix: str) -> Obj:
    """Return a new pod of a template, owned by ``owner_ref``; its spec is the template's own, shared."""
    meta = template.get("metadata") or {}
    out: Obj = {"generateName": prefix, "ownerReferences": [owner_ref]}
    for key in ("labels", "annotations", "finalizers"):
        if meta.get(key):
            out[key] = meta[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": out, "spec": template["spec"]}
