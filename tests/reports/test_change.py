"""What to change, as it is told: how far it gets in a sentence, what it costs, and nothing that can steer a terminal or a page."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from kchaos.engine.change import ChangeResult, CommandResult
from kchaos.reports.change import facts, headline, markdown, show

FOUND = ChangeResult(
    edits=("Deployment default/web: spec.replicas: 1 → 2",), diff="--- a/x.yaml\n+++ b/x.yaml\n@@ -1 +1 @@\n-  replicas: 1\n+  replicas: 2\n", lines=2,
    pods=1, passes=True, before=(1, 2), level1=(9, 9), tried=3, examples=40,
)  # fmt: skip
COMMAND = CommandResult(
    finding="f", rule="KC202", object="StatefulSet/default/q", fault="at 0 s: node-pause of node-1", commands=("kubectl taint nodes node-1 a=b:NoExecute",),
    after_s=240.0, serves_s=12.0, says="only once the node is off",
)  # fmt: skip


def printed(change: ChangeResult) -> str:
    out = io.StringIO()
    show(change, change.diff, Console(file=out, width=200))
    return out.getvalue()


def test_a_sentence_says_how_far_it_gets() -> None:
    """All mended, some, none, nothing to do; and that the search was cut short."""
    assert headline(FOUND) == "2 lines, and nothing is left to mend: level 1 passes 9/9 (tried 3 changes in 40 examples)"
    some = msgspec.structs.replace(FOUND, after=(0, 1), stopped="budget")
    assert headline(some).startswith("the verdict is pass: from 1 error and 2 warnings to 1 warning; level 1 passes 9/9")
    assert headline(some).endswith("; the budget was spent)")
    assert headline(msgspec.structs.replace(some, passes=False)).startswith("not enough to pass: ")
    none = ChangeResult(before=(0, 1), after=(0, 1), tried=1, examples=5, stopped="interrupted")
    assert headline(none) == "no edit was found that helps (tried 1 change in 5 examples; interrupted): 1 warning stays"
    assert headline(ChangeResult(passes=True)) == "nothing to mend: no error and no warning"
    doubts = ("level 1 is unfinished",)
    assert (
        headline(ChangeResult(passes=True, doubts=doubts)) == "what ran shows nothing to mend, but that is no pass: level 1 is unfinished"
    )


def test_costs_and_doubts_are_told() -> None:
    more = msgspec.structs.replace(FOUND, nodes=2, needs=("a class",), gives_up=("a thing",), left=("KC201 x",), refused=("an anchor",))
    assert dict(facts(more)) == {
        "costs": "1 more pod and 2 more nodes", "needs": "a class", "gives up": "a thing", "left": "KC201 x", "not written": "an anchor",
    }  # fmt: skip
    assert dict(facts(FOUND)) == {"costs": "1 more pod"}


def test_commands_stand_alone() -> None:
    """Each on a line that can be copied."""
    text = printed(ChangeResult(before=(0, 1), after=(0, 1), commands=(COMMAND,)))
    assert (
        "no edit mends KC202 of StatefulSet/default/q (at 0 s: node-pause of node-1), an operator does: all pods serve again 12 s after it\n"
        in text
    )
    assert "\n    kubectl taint nodes node-1 a=b:NoExecute\n    (only once the node is off)\n" in text


def test_a_diff_steers_nothing() -> None:
    """Escape sequences in files are shown, not obeyed; carriage returns are not told; a fence in a file ends no fence."""
    bad = msgspec.structs.replace(FOUND, diff="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\x1b[31mred\r\n+```\n")
    assert "\x1b" not in printed(bad) and "\r" not in printed(bad)
    assert "  +```\n" in printed(bad)
    rows = markdown(bad, 10_000)
    assert rows[4] == "````diff" and rows[6] == "````"
    assert not any("@@" in row for row in markdown(bad, 10)), "a diff that is too long is told in words"
    assert markdown(None, 10) == []
