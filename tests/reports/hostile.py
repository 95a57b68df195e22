"""A result with names that try to break out of each kind of report, and one that is large."""

from __future__ import annotations

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine import lanes as lanes_
from kchaos.engine import moments as moments_
from kchaos.engine import pictures
from kchaos.engine import timeline as data
from kchaos.engine.change import ChangeResult, CommandResult
from kchaos.engine.flips import Flips, Tried
from kchaos.engine.matrix import Judged, Matrix, Violated
from kchaos.engine.result import (
    Cell,
    CellChange,
    Comparison,
    Counts,
    CoverageResult,
    FaultResult,
    NoteResult,
    PropertyResult,
    Result,
    Still,
    WorkloadChange,
    WorkloadResult,
)  # fmt: skip
from kchaos.reports.columns import COLUMNS

NASTY = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP TABLE x; --", "a&b <b>c</b>", "{{ 7 * 7 }}", "]]>", "<!--",
    "[bold red]x[/]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x00\x08\x0b\x7f\x9b", "a\r\nb\tc", "\ud800", "\ufffe\uffff", "ünïcödé 😀 \u202e",
    "https://evil.example/x.js", "url(https://evil.example)",
)  # fmt: skip
"""Names as a hostile file could have them."""
FAULTS = tuple(name for _, names in COLUMNS for name in names)


def finding(text: str, number: int = 0, severity: Severity = Severity.ERROR, accepted: str = "", lines: int = 3) -> Finding:
    """Return a finding that has a text in every field that may come from a file."""
    return Finding(
        id="KC202", property="served", severity=severity, summary=f"{text} was away", object=f"Deployment/{text}/{text}", accepted=accepted,
        fingerprint=f"{number:016x}", file=f"{text}.yaml", line=3, fault=f"drain of {text}", affected=(f"Deployment/d/{text}",) * 2,
        faults=(f"drain of {text}", text), advice=f"change {text}", story=tuple(f"{n}. {text}" for n in range(lines)), replay=f"{text}.json",
    )  # fmt: skip


def timeline(text: str, lanes: int = 2, bars: int = 2, parts: int = 2) -> data.Timeline:
    """Return a picture's data with a text in every field that may come from a file."""
    stretches = tuple(data.Part(float(n), n + 1.0, "ready" if n % 2 else "unready") for n in range(parts))
    return data.Timeline(
        steps=(f"at 0 s: drain of {text}",), start_s=-1.0, end_s=20.0, violated_s=3.0, left_out=(f"more of {text}",),
        lanes=tuple(
            data.Lane(name=f"{text}{n}", zone=text, bars=(data.Bar(pod=f"{text} pod", parts=stretches),) * bars, more=1)
            for n in range(lanes)
        ),
        bands=(data.Band(label=f"drain of {text}", start=1.0, end=9.0, lanes=(f"{text}0",)),),
        ticks=(data.Tick(t=1.0, text=text), data.Tick(t=2.0, text=text, refused=True)),
        curves=(data.Curve(of=f"Service/{text}", label=text, points=((-1.0, 3.0), (2.0, 0.0))),),
        moments=(moment(text, -1.0, 0), moment(text, 3.0, 1)),
    )  # fmt: skip


def moment(text: str, t: float, first: int, many: int = 1) -> data.Moment:
    """Return one with a text in every field that may come from a file."""
    changes = (data.Change(what=f"Pod {text}", before=text, after=text),) * many
    places = tuple(data.Place(name=f"{text}{n}", zone=f"{text}{n % 3}", state="hit", says=text, pods={"ready": many}) for n in range(many))
    return data.Moment(t=t, first=first, last=first + many - 1 if first else 0, changes=changes, more=1, places=places, elsewhere=1)


def full_timeline(text: str) -> data.Timeline:
    """Return one that has as much of everything as a picture may have."""
    found = timeline(text, lanes_.LANES, lanes_.BARS, lanes_.STRETCHES // lanes_.LANES // lanes_.BARS)
    band = data.Band(label=f"{text} " * 3, start=0.0, end=9.0, lanes=tuple(lane.name for lane in found.lanes))
    ticks = tuple(data.Tick(t=n / 2, text=(f"{text} " * 8)[: pictures.SAID]) for n in range(pictures.TICKS))
    curve = data.Curve(
        of=text, label=pictures.ANSWERING, points=tuple((n / 9, float(n % 3)) for n in range(pictures.POINTS // pictures.CURVES))
    )
    told = tuple(moment((f"{text} " * 8)[:100], float(n), 1 + 12 * n, 12) for n in range(moments_.MOMENTS))
    return msgspec.structs.replace(found, bands=(band,) * pictures.BANDS, ticks=ticks, curves=(curve,) * pictures.CURVES, moments=told)


def comparison(texts: tuple[str, ...]) -> Comparison:
    """Return one with a text in every field that may come from a file; it fits :func:`result`."""
    return Comparison(
        file=texts[0], verdict="fail", examples=3, differs=texts, new=tuple(f"{number:016x}" for number in range(len(texts))),
        still=tuple(Still(fingerprint=f"{100 + number:016x}", severity="error", summary=text) for number, text in enumerate(texts)),
        mended=tuple(finding(text, 300 + number) for number, text in enumerate(texts)), untried=(finding(texts[0], 400),),
        cells=tuple(CellChange(id="KC202", name=text, klass=text, before=(1, 2), now=(2, 2)) for text in texts),
        workloads=tuple(WorkloadChange(workload=text, fault=text, outage_s=(0.0, 5.0), lost_requests=(7.0, 0.0)) for text in texts),
    )  # fmt: skip


def result(texts: tuple[str, ...] = NASTY, verdict: str = "fail") -> Result:
    """Return a result with these texts everywhere."""
    cell = Cell(outage_s=5.0, lost_requests=50, examples=1, severity="error", unbounded=True)
    workloads = tuple(
        WorkloadResult(workload=f"Deployment/{t}/{t}", replicas=2, ready=2, file=t, line=1, faults={"drain": cell, t: cell}) for t in texts
    )
    findings = [finding(text, number) for number, text in enumerate(texts)]
    findings += [finding(text, 100 + number, Severity.INFO) for number, text in enumerate(texts)]
    findings += [finding(text, 200 + number, accepted=f"{text} (2026)") for number, text in enumerate(texts)]
    return Result(
        verdict=verdict, exit_code=1, reasons=texts, seed=0, digest="0" * 32, kubernetes="1.34", topology="6 nodes", python="3.11.0",
        examples=Counts(run=1, level1_done=1, level1=1, pairs_done=0, pairs=0), objects=len(texts), workloads=workloads,
        findings=tuple(findings), faults=(FaultResult(name="drain", summary=texts[0], exercised=2, bit=1, inert=1),),
        notes=tuple(NoteResult(rule="KC302", level="info", file=t, line=1, message=t, hint=t) for t in texts), not_modelled=texts,
        assumptions={"defaults": {"start_s": 5.0}, "workloads": {t: {"memory": t} for t in texts}}, command=f"kchaos run {texts[0]}",
        inputs=dict.fromkeys(texts, "0" * 64),
        coverage=CoverageResult(faults=(1, 2), pairs=(0, 1), transitions=1, by_component=dict.fromkeys(texts, 1), never=texts),
        corpus={"replayed": len(texts), "mended": list(texts), "other": list(texts)},
        matrix=Matrix(
            classes={"node": 4, **dict.fromkeys(texts, 0)},
            properties=(Judged(id="KC202", name="served", violated={"node": Violated(examples=1, first=texts[0])}), Judged(id="KC1", name=texts[0])),
        ),
        timelines={f"{number:016x}": timeline(text) for number, text in enumerate(texts)},
        comparison=comparison(texts),
        flips=Flips(scenarios=texts, left_out=1, tried=tuple(
            Tried(assumption="start_s", was="5", value=text, mended=(text,), new=(text,), figures=(text,), verdict="fail") for text in texts
        )),
    )  # fmt: skip


def whole(texts: tuple[str, ...] = NASTY, verdict: str = "fail") -> Result:
    """Return a result that has what only some runs have, too: what to change, and properties of users."""
    return msgspec.structs.replace(
        result(texts, verdict),
        change=ChangeResult(
            edits=texts, diff="\n".join(f"+{text}" for text in texts), patches={text: text for text in texts}, lines=3, pods=1, needs=texts,
            gives_up=texts, left=texts, level1=(1, 2),
            commands=tuple(
                CommandResult(finding="0" * 16, rule="KC202", object=text, fault=text, commands=(text,), after_s=1.0, serves_s=2.0, says=text) for text in texts
            ),
        ),
        properties=tuple(PropertyResult(id=text, name=text, claim=text, source=text, file=text, line=1) for text in texts),
    )  # fmt: skip


def large() -> Result:
    """Return what a thousand workloads under all faults could give."""
    cell = Cell(outage_s=353.2, lost_requests=3532, examples=6, severity="warning")
    names = tuple(f"Deployment/namespace-{n % 7}/application-with-a-long-name-{n}" for n in range(1000))
    row = dict.fromkeys(FAULTS, cell)
    many = tuple(
        Finding(
            id="KC202", property="served", severity=Severity.WARNING if n % 2 else Severity.INFO, summary="no pod of 3 answered for 353 s " * 3,
            object=name, fingerprint=f"{n:016x}", file=f"charts/shop/templates/{n}.yaml", line=n, affected=names, advice="run two or more " * 5,
            faults=tuple(f"node-power-loss of node-{k}" for k in range(200)), story=tuple(f"{k}. {name}" for k in range(40 if n < 25 else 0)),
        )
        for n, name in enumerate(names)
    )  # fmt: skip
    small = result(("x",))
    return Result(
        verdict="pass", exit_code=0, seed=0, digest="0" * 32, kubernetes="1.34", topology="60 nodes", python="3.11.0", objects=5000,
        examples=Counts(run=20000, level1_done=20000, level1=20000, pairs_done=0, pairs=0), findings=many, not_modelled=names,
        workloads=tuple(WorkloadResult(workload=name, replicas=3, ready=3, faults=row) for name in names),
        faults=tuple(FaultResult(name=name, summary="a fault", exercised=9, bit=5, inert=1) for name in FAULTS),
        matrix=Matrix(
            classes=dict.fromkeys((f"class-{n}" for n in range(14)), 20000),
            properties=tuple(
                Judged(id=f"KC{n:03}", name="a-property-with-a-name", violated={"class-1": Violated(examples=3, first=names[0] * 2)})
                for n in range(80)
            ),
        ),
        timelines={one.fingerprint: full_timeline(one.object) for one in many[: pictures.TIMELINES]},
        notes=small.notes * 5000, inputs={f"charts/shop/templates/{n}.yaml": "0" * 64 for n in range(5000)},
        assumptions={"defaults": {"start_s": 5.0}, "workloads": {name: {"start_s": 1.0} for name in names}},
    )  # fmt: skip
