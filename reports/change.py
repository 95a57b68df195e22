"""What to change, for the terminal and for Markdown: the diff, what it costs and leaves, commands for what no edit mends."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from kchaos.engine.change import ChangeResult, CommandResult
from kchaos.models.manifests.load import visible
from kchaos.reports.columns import seconds

SHOWN = 60
"""Lines of a diff that a terminal shows; the file has all."""
_STYLE = {"+": "green", "-": "red", "@": "cyan"}


def show(change: ChangeResult, diff: str, console: Console) -> None:
    """Print the section; of its ``diff`` no row can steer the terminal."""
    console.print("\nWhat to change:", style="bold")
    console.print(Text(f"  {headline(change)}", style="green" if change.passes and change.found else ""), soft_wrap=True)
    rows = [visible(row.removesuffix("\r")) for row in diff.split("\n")[:-1]]
    for row in rows[:SHOWN]:
        plain = row.startswith(("+++", "---"))
        console.print(Text(f"  {row}", style="bold" if plain else _STYLE.get(row[:1], "")), soft_wrap=True)
    if len(rows) > SHOWN:
        console.print(f"  … {len(rows) - SHOWN} more lines in the patch", style="dim")
    if not diff:
        for one in change.edits:
            console.print(Text(f"  {one}"), soft_wrap=True)
    for label, told in facts(change):
        console.print(Text(f"  {label}: {told}", style="dim"), soft_wrap=True)
    said = ""
    for command in change.commands:
        console.print(Text(f"  {operated(command)}"), soft_wrap=True)
        for line in command.commands:
            console.print(Text(f"    {line}", style="bold"), soft_wrap=True)
        if command.says not in ("", said):
            console.print(Text(f"    ({command.says})", style="dim"), soft_wrap=True)
        said = command.says


def headline(change: ChangeResult) -> str:
    """Return in a sentence how far the search got."""
    tried = f"tried {change.tried} change{'' if change.tried == 1 else 's'} in {change.examples} examples"
    early = {"budget": "; the budget was spent", "interrupted": "; interrupted"}.get(change.stopped, "")
    if change.before == (0, 0) and change.doubts:
        return f"what ran shows nothing to mend, but that is no pass: {'; '.join(change.doubts)}"
    if change.before == (0, 0):
        return "nothing to mend: no error and no warning"
    if not change.found:
        return f"no edit was found that helps ({tried}{early}): {counts(change.before)} {'stays' if sum(change.before) == 1 else 'stay'}"
    done, all_ = change.level1
    level1 = f"level 1 passes {done}/{all_}"
    if change.after == (0, 0):
        size, word = (change.lines, "line") if change.lines else (len(change.edits), "edit")
        return f"{size} {word}{'' if size == 1 else 's'}, and nothing is left to mend: {level1} ({tried}{early})"
    verdict = "the verdict is pass" if change.passes else "not enough to pass"
    return f"{verdict}: from {counts(change.before)} to {counts(change.after)}; {level1} ({tried}{early})"


def counts(score: tuple[int, int]) -> str:
    """Return ``1 error and 2 warnings``, by object."""
    words = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in zip(score, ("error", "warning"), strict=True) if n]
    return " and ".join(words) or "nothing"


def facts(change: ChangeResult) -> Iterator[tuple[str, str]]:
    """Yield what to know of the change: label, words."""
    if change.found:
        cost = [f"{n} more {word}{'' if n == 1 else 's'}" for n, word in ((change.pods, "pod"), (change.nodes, "node")) if n > 0]
        yield "costs", " and ".join(cost) or "no pod and no node more"
    if change.gives_up:
        yield "gives up", "; ".join(change.gives_up)
    if change.needs:
        yield "needs", "; ".join(change.needs)
    for one in change.left if change.found or change.commands else ():
        yield "left", one
    for one in change.refused:
        yield "not written", one


def operated(command: CommandResult) -> str:
    """Return in a sentence what commands come to."""
    after = f"{seconds(command.serves_s)} after it" if command.serves_s >= 0.05 else "at once"
    return f"no edit mends {command.rule} of {command.object} ({command.fault}), an operator does: all pods serve again {after}"


def markdown(change: ChangeResult | None, room: int) -> list[str]:
    """Return the section in Markdown, within ``room`` characters; the diff goes first if it is too long."""
    from kchaos.reports.markdown import code, prose

    if change is None:
        return []
    out = ["#### What to change", "", prose(headline(change)), ""]
    fence = "`" * max(3, 1 + _longest_run(change.diff))
    if change.diff and len(change.diff) <= room:
        out += [f"{fence}diff", change.diff.rstrip("\n"), fence, ""]
    else:
        out += [*(f"- {prose(one)}" for one in change.edits[:20]), ""]
    out += [f"- {label}: {prose(told)}" for label, told in facts(change)]
    for one in change.commands:
        more = f" ({prose(one.says)})" if one.says else ""
        out += [f"- {prose(operated(one))}: " + " ".join(code(line) for line in one.commands) + more]
    return [*out, ""]


def _longest_run(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest
