"""Logs of etcd as they were written by 3.4.23, 3.5.1 and 3.6.16 (stacks shortened): what counts as an alarm, and what does not."""

from __future__ import annotations

import json

import pytest

from kchaos.real.logs import LONGEST, alarms, elections, reason

LEADER = '{"level":"info","ts":"2026-11-28T05:50:46Z","logger":"raft","caller":"v3@v3.6.0/raft.go:970","msg":"fd85b89d8ba5e17d became leader at term 2"}'
ELECTED = '{"level":"info","ts":"…","caller":"raft/node.go:339","msg":"raft.node: fd85b89d8ba5e17d elected leader fd85b89d8ba5e17d at term 2"}'
FOLLOWER = '{"level":"info","ts":"…","caller":"raft/raft.go:692","msg":"fd85b89d8ba5e17d became follower at term 3"}'
AGAIN = '{"level":"info","ts":"2021-11-02T10:00:00.0Z","caller":"raft/raft.go:765","msg":"fd85b89d8ba5e17d became leader at term 7"}'
DATABASE = (  # 3.4.23, the first page of the database overwritten
    '{"level":"panic","ts":"2026-11-28T06:04:42.376Z","caller":"backend/backend.go:162","msg":"failed to open database",'
    '"path":"/data/m2/member/snap/db","error":"invalid database","stacktrace":"go.etcd.io/etcd/mvcc/backend.newBackend\\n\\tbackend.go:162"}'
)
DATABASE_RAW = "panic: failed to open database\n\ngoroutine 126 [running]:\ngo.uber.org/zap/zapcore.(*CheckedEntry).Write(0xc000246180)\n\t/x/entry.go:230 +0x546"
WAL = (  # 3.4.23, a record of the log overwritten
    '{"level":"fatal","ts":"2026-11-28T06:04:44.590Z","caller":"etcdmain/etcd.go:271","msg":"discovery failed","error":"walpb: crc mismatch",'
    '"stacktrace":"go.etcd.io/etcd/etcdmain.startEtcdOrProxyV2\\n\\tetcd.go:271"}'
)
LOST = (  # 3.6.16, the same
    '{"level":"panic","ts":"2026-11-28T06:04:54.071328Z","logger":"raft","caller":"v3@v3.6.0/log.go:324",'
    '"msg":"tocommit(58) is out of range [lastIndex(37)]. Was the raft log corrupted, truncated, or lost?","stacktrace":"go.etcd.io/raft/v3.(*raftLog)"}'
)
LOST_RAW = "panic: tocommit(58) is out of range [lastIndex(37)]. Was the raft log corrupted, truncated, or lost?\n\ngoroutine 165 [running]:"
FULL = (  # 3.6.16 on a tmpfs of 20 MB
    '{"level":"panic","ts":"2026-11-28T06:04:18.075296Z","caller":"etcdserver/bootstrap.go:663","msg":"failed to create WAL",'
    '"error":"no space left on device","stacktrace":"go.etcd.io/etcd/server/v3/etcdserver.bootstrapNewWAL"}'
)
FULL_RAW = "panic: failed to create WAL\n\ngoroutine 1 [running]:\nmain.main()\n\tgo.etcd.io/etcd/server/v3@v3.6.16/main.go:31 +0x28"
TAKEN = '{"level":"fatal","ts":"…","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"listen tcp 127.0.0.1:2380: bind: address already in use"}'
CORRUPT = '{"level":"warn","ts":"…","caller":"etcdserver/server.go:1811","msg":"alarm raised","alarm":"CORRUPT","raised-by-member-id":"fd85b89d8ba5e17d"}'
NO_SPACE = '{"level":"warn","ts":"…","caller":"etcdserver/server.go:1811","msg":"alarm raised","alarm":"NOSPACE","raised-by-member-id":"fd85b89d8ba5e17d"}'
MISMATCH = '{"level":"warn","ts":"…","caller":"etcdserver/corrupt.go:97","msg":"found hash mismatch with remote peer","local-member-hash":1}'
NOISE = [
    '{"level":"info","ts":"…","msg":"Running: ","args":["etcd","--name","panic","--data-dir","/tmp/fatal: data corruption"]}',
    '{"level":"info","ts":"…","msg":"starting an etcd server","experimental-initial-corrupt-check":false,"corrupt-check-time-interval":"0s"}',
    '{"level":"info","ts":"…","caller":"etcdserver/corrupt.go:46","msg":"starting initial corruption check","timeout":"7s"}',
    '{"level":"warn","ts":"…","msg":"apply request took too long","request":"key:\\"panic: fatal error\\" found data inconsistency","took":"200ms"}',
    '{"level":"warn","ts":"…","caller":"rafthttp/stream.go:421","msg":"lost TCP streaming connection with remote peer","error":"unexpected EOF"}',
    '{"level":"warn","ts":"…","caller":"wal/repair.go:93","msg":"repaired","path":"0.wal","error":"unexpected EOF"}',
    '{"level":"error","ts":"…","msg":"setting up serving from embedded etcd failed.","error":"accept tcp 127.0.0.1:2380: use of closed connection"}',
    "the word panic: in the middle of a line, and fatal error: too",
    '{"level":"panic","ts":"cut off in the mid',
    "[WARNING] Deprecated '--logger=capnslog' flag is set; use '--logger=zap' flag instead",
]


def text(*lines: str) -> str:
    return "\n".join([LEADER, *lines, FOLLOWER])


@pytest.mark.parametrize("line", [DATABASE, WAL, LOST, TAKEN, CORRUPT, MISMATCH])
def test_an_alarm_is_told_without_its_stack(line: str) -> None:
    (found,) = alarms(text(*NOISE, line, *NOISE))
    assert json.loads(found) == {name: value for name, value in json.loads(line).items() if name != "stacktrace"}


@pytest.mark.parametrize(("line", "raw"), [(DATABASE, DATABASE_RAW), (LOST, LOST_RAW)])
def test_a_panic_that_is_printed_twice_is_one(line: str, raw: str) -> None:
    assert len(list(alarms(text(line, raw)))) == 1


def test_each_of_two_panics_counts() -> None:
    assert len(list(alarms(text(LOST, LOST_RAW, DATABASE, DATABASE_RAW, LOST, LOST_RAW)))) == 3


@pytest.mark.parametrize(
    "line",
    ["panic: runtime error: invalid memory address or nil pointer dereference", "fatal error: concurrent map writes", "SIGSEGV: segmentation violation"],
)
def test_what_the_go_runtime_prints_is_an_alarm(line: str) -> None:
    assert list(alarms(text(line, "", "goroutine 7 [running]:", "main.main()"))) == [line]


def test_words_in_a_message_are_no_alarm() -> None:
    assert list(alarms(text(*NOISE, NO_SPACE))) == []


def test_a_full_disk_is_no_alarm_but_a_reason() -> None:
    log = text(FULL, FULL_RAW)
    assert list(alarms(log)) == []
    assert "no space left on device" in reason(log)


def test_elections_are_those_that_this_member_won() -> None:
    assert elections("\n".join([LEADER, ELECTED, FOLLOWER, AGAIN])) == [2, 7]


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (f"{LEADER}\n{TAKEN}", "127.0.0.1:2380 is taken by another program"),
        (f"{DATABASE}\n{DATABASE_RAW}", "failed to open database: invalid database"),
        (f"{LOST}\n{LOST_RAW}", "tocommit(58) is out of range [lastIndex(37)]. Was the raft log corrupted, truncated, or lost?"),
        (LEADER, "fd85b89d8ba5e17d became leader at term 2"),
        ("flag provided but not defined: -gravity", "flag provided but not defined: -gravity"),
        ("", "it wrote nothing"),
    ],
)
def test_why_a_member_ended_is_told_in_few_words(log: str, says: str) -> None:
    assert reason(log) == says


def test_a_long_line_is_cut() -> None:
    (found,) = alarms("panic: " + "x" * 5000)
    assert len(found) == LONGEST
