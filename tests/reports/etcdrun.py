"""A made-up run of etcd with marks of all sorts, and its result: for tests of reports. Nothing in it was measured."""

from __future__ import annotations

import random
from typing import Any

from kchaos.check.property import Severity
from kchaos.check.verdict import Verdict
from kchaos.engine.etcd.result import Coverage, EtcdFinding, EtcdResult, FaultLine
from kchaos.history.operations import Operation, Outcome, Seen, mark_data
from kchaos.history.record import Header, Mark, Run

MEMBERS = ("m1", "m2", "m3")
NAMES = ("isolate", "pause", "latency", "kill", "partition-halves", "one-way-from")


def etcd_run(operations: int = 3000, seconds: float = 30.0, text: str = "", members: tuple[str, ...] = MEMBERS, seed: int = 1) -> Run:
    """Return a run of so many operations; ``text`` is in every field that comes from a client or a server."""
    rng = random.Random(seed)
    marks: list[Mark] = [Mark(0.0, "versions", {"etcd": f"3.5.1{text}", "backend": "process"})]
    for t, name in ((0.0, "boot"), (1.0, "chaos"), (seconds - 4, "heal"), (seconds - 3, "settle"), (seconds - 1, "final")):
        marks.append(Mark(t, "phase", {"name": name}))
    marks += [Mark(0.1, "member", {"member": name, "event": "started"}) for name in members]
    for watcher in ("w1", f"w2{text}"):
        marks.append(Mark(0.5, "watch", {"watcher": watcher, "member": members[0], "prefix": f"k{text}", "from_revision": 1}))
        marks.append(Mark(0.6, "watch-created", {"watcher": watcher, "revision": 1}))
        marks.append(Mark(9.0, "watch-ended", {"watcher": watcher, "reason": f"connection lost{text}", "compact_revision": 0}))
        marks.append(Mark(9.5, "watch", {"watcher": watcher, "member": members[-1], "prefix": f"k{text}", "from_revision": 5}))
        marks.append(Mark(9.6, "progress", {"watcher": watcher, "revision": 7}))
    for fault in _faults(seconds, members, text):
        for target in fault.targets if fault.name in ("kill", "pause") else ():
            before, after = ("killed", "restarted") if fault.name == "kill" else ("paused", "resumed")
            marks.append(Mark(fault.at_s, "member", {"member": target, "event": before}))
            marks.append(Mark(fault.until_s or fault.at_s, "member", {"member": target, "event": after}))
    marks += _statuses(rng, seconds, members, text)
    revision = 1
    for n in range(operations):
        call_s = 1.0 + (seconds - 5.0) * n / operations
        slow = 0.4 if rng.random() < 0.02 else 0.0
        outcome = rng.choices((Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN), (97, 1, 2))[0]
        key, put = f"k{n % 20}{text}", n % 2 == 0
        revision += put
        marks.append(Mark(call_s, "op", mark_data(Operation(
            process=n % 8, member=members[n % len(members)], kind="put" if put else "get", call_s=call_s, return_s=call_s + 0.001 + rng.random() * 0.004 + slow,
            outcome=outcome, writes=((key, f"{n}{text}"),) if put else (), reads=() if put else (key,), revision=revision if outcome == Outcome.OK else 0,
            seen=() if put or outcome != Outcome.OK else (Seen(key, f"{n}{text}", revision, 1, revision),),
            error="" if outcome == Outcome.OK else f"{rng.choice(('deadline exceeded', 'unavailable', 'leader changed'))}{text}",
        ))))  # fmt: skip
        if put and n % 10 == 0:
            data = {"watcher": "w1", "revision": revision, "events": [[key, f"{n}{text}", revision, revision, 1]]}
            marks.append(Mark(call_s + 0.01, "watched", data))
    for name in members:
        marks.append(Mark(seconds - 0.5, "hash", {"member": name, "revision": revision, "hash": 4242, "compact_revision": 0}))
        marks.append(Mark(seconds - 0.4, "final", {"member": name, "revision": revision, "raft_term": 5, "leader": members[0], "reachable": True}))
    marks.append(Mark(seconds, "panic", {"member": members[0], "line": f"panic: something{text}"}))
    marks.sort(key=lambda one: one.t)
    return Run(Header(kchaos="0", scenario={"system": "etcd"}), list(marks), "d" * 64)


def _statuses(rng: random.Random, seconds: float, members: tuple[str, ...], text: str) -> list[Mark]:
    out = []
    for tick in range(int(seconds * 4)):
        t = tick / 4
        term = 2 + int(t / 8)
        for number, name in enumerate(members):
            if number == 1 and 6 < t < 9:
                out.append(Mark(t, "status", {"member": name, "error": f"unavailable{text}"}))
                continue
            stands = 12_000 if number == 2 and 12 < t < 15 else int(t * 1000)
            out.append(Mark(t, "status", {
                "member": name, "revision": stands, "raft_term": term, "raft_index": stands, "raft_applied_index": stands + rng.randint(0, 20),
                "leader": members[term % len(members)], "db_size": 20480,
            }))  # fmt: skip
    return out


def _faults(seconds: float, members: tuple[str, ...], text: str, each_s: float = 3.0) -> list[FaultLine]:
    count = int((seconds - 6) / each_s)
    return [
        FaultLine(
            name=NAMES[n % len(NAMES)], at_s=1.5 + n * each_s, until_s=None if n % 7 == 6 else 3.5 + n * each_s, targets=(members[n % len(members)],),
            args={"latency_ms": 100, "note": text} if n % 3 == 0 else {}, bit=n % 4 != 2, evidence={"terms": n, "applied_lag": 20 * n, "why": text} if n % 4 != 2 else {},
        )
        for n in range(count)
    ]  # fmt: skip


def killed_often(kills: int, seconds: float, members: tuple[str, ...], seed: int = 3) -> tuple[Run, list[FaultLine]]:
    """Return a run in which members are killed so often, each kill a fault, with elections and lost statuses all the time; and the faults."""
    rng = random.Random(seed)
    run = etcd_run(2000, seconds, members=members)
    marks = [one for one in run.entries if isinstance(one, Mark) and one.what not in ("status", "member")]
    marks += [Mark(0.1, "member", {"member": name, "event": "started"}) for name in members]
    every_s = (seconds - 6) / kills
    faults = []
    for n in range(kills):
        at_s, name = 1.0 + n * every_s, rng.choice(members)
        until_s = at_s + every_s * rng.uniform(0.1, 0.9)
        marks += [Mark(at_s, "member", {"member": name, "event": "killed"}), Mark(until_s, "member", {"member": name, "event": "restarted"})]
        faults.append(FaultLine(name="kill", at_s=at_s, until_s=until_s, targets=(name,), bit=rng.random() < 0.9, evidence={"kills": 1}))
    for tick in range(int(seconds * 4)):
        for name in members:
            status = {"revision": tick, "raft_term": 2 + tick, "raft_index": tick, "raft_applied_index": tick, "leader": rng.choice(members), "db_size": 20480}
            marks.append(Mark(tick / 4, "status", {"member": name, **(status if rng.random() < 0.6 else {"error": "unavailable"})}))
    marks.sort(key=lambda one: one.t)
    return Run(run.header, list(marks), run.digest), faults


def lost_write(text: str = "", number: int = 0) -> EtcdFinding:
    """Return a finding: a write was acknowledged, its member killed, and a later read did not see it."""
    key = f"k7{text}"
    proof: list[tuple[str, Operation | None]] = [
        (f"process 3 wrote {key}=41", Operation(3, "m1", "put", 9.8012, 9.8031, Outcome.OK, writes=((key, f"41{text}"),), revision=812)),
        (f"process 5 wrote {key}=42", Operation(5, "m2", "put", 10.1012, 10.1049, Outcome.OK, writes=((key, f"42{text}"),), revision=815)),
        (f"process 1 wrote {key}=43", Operation(1, "m3", "put", 11.2, 12.2, Outcome.UNKNOWN, writes=((key, "43"),), error=f"deadline exceeded{text}")),
        (f"process 6 read {key}", Operation(6, "m2", "get", 13.4002, 13.4017, Outcome.OK, reads=(key,), revision=821, seen=(Seen(key, f"41{text}", 812, 1, 812),))),
    ]  # fmt: skip
    return EtcdFinding(
        id=f"KC5{number:02}", property="acknowledged-writes-last", claim=f"What was acknowledged is there after crashes and restarts.{text}",
        source="https://etcd.io/docs/v3.6/learning/api_guarantees/#durability", severity=Severity.ERROR,
        summary=f"{key} = 42 was acknowledged at revision 815, and a read begun 3.3 s later saw revision 812{text}",
        witness=tuple(f"{words}{text}" for words, _ in proof), t=13.4017, times=3, fingerprint=f"{number:016x}", replay=f"kchaos etcd check etcd.run.jsonl{text}",
        proof=tuple({"words": words, **({"index": n, "operation": mark_data(op)} if op else {})} for n, (words, op) in enumerate(proof)),
    )  # fmt: skip


def etcd_result(verdict: Verdict = Verdict.PASS, text: str = "", findings: int = 1, seconds: float = 30.0, operations: int = 3000, **more: Any) -> EtcdResult:
    """Return a result that goes with :func:`etcd_run`; ``text`` is in every field that may come from outside."""
    failed = verdict == Verdict.FAIL
    faults = (*_faults(seconds, MEMBERS, text), FaultLine(name="isolate", at_s=20.0, bit=False, why=f"nobody leads now{text}"))
    return EtcdResult(**{
        "kchaos": "0.6", "command": f"kchaos etcd --members 3 --seed 1 {text}", "verdict": verdict, "exit_code": int(verdict.exit_code), "backend": "process",
        "members": 3,
        "reasons": {Verdict.PASS: (), Verdict.FAIL: (f"KC500 failed{text}",) * findings, Verdict.UNKNOWN: (f"few operations: 12{text}",)}[verdict],
        "seed": 1, "seconds": seconds, "operations": operations,
        "ok": operations * 97 // 100, "failed": operations // 100, "unknown": operations * 2 // 100, "operations_per_s": operations / seconds, "elections": 3,
        "by_kind": {"put": operations // 2, "get": operations // 2}, "faults": faults,
        "findings": tuple(lost_write(text, n) for n in range(findings)) if failed else (),
        "coverage": Coverage(
            properties={"KC500": "violated" if failed else "held", "KC501": "held", "KC502": "not exercised"},
            names={"KC500": "linearizable", "KC501": "durable", "KC502": f"watch-complete{text}"}, faults_bit=("kill",),
            faults_never=("reset", f"slow-close{text}"), remarks=(f"throughput was low: 100 operations/s{text}",),
        ),
        "versions": {"etcd": f"3.5.1{text}", "toxiproxy": "2.12.0", "python": "3.11.2"}, "run": f"out/etcd.run.jsonl{text}", "digest": "d" * 64,
        "not_modelled": ("disk faults", f"leases{text}"), **more,
    })  # fmt: skip
