"""The part of `kchaos run --fix` that knows files: where the patch begins, where it goes, how it is applied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.status import Status

from kchaos.engine.change import ChangeResult
from kchaos.engine.execute import Answer, Question
from kchaos.engine.inputs import HelmOptions
from kchaos.engine.output import PATCH, Files
from kchaos.fix.patch import STDIN, placed
from kchaos.fix.suggest import Places, suggest
from kchaos.models.manifests.load import Text

FIX = "fix"
"""The folder of a kustomization, beside the reports."""


def change(question: Question, answer: Answer, where: Places, errors: Console, quiet: bool) -> ChangeResult:
    """Search what to change, with a spinner where somebody looks."""
    shown = errors.is_terminal and not quiet
    with Status("what to change …", console=errors) if shown else _Silent() as status:

        def tick(count: int) -> None:
            if isinstance(status, Status):
                status.update(f"what to change: {count} examples")

        return suggest(question, answer, where, tick)


class _Silent:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def places(texts: Sequence[Text], out: Path, helm: HelmOptions) -> Places:
    """Return which texts are files of the user, their names in a diff that is applied in the current folder, and what the rest came from."""
    files = {text.name: str(Path(text.name).resolve()) for text in texts if text.name != "-" and Path(text.name).is_file()}
    rendered = [text.name for text in texts if text.name != "-" and text.name not in files]
    root, names = placed(files, str(Path.cwd())) if files else ("", {})
    folder = next((Path(name) for name in rendered if Path(name).is_dir()), None)
    if folder is not None:  # a kustomization: patches go on top of it
        base, says = Path(os.path.relpath(folder, out / FIX)).as_posix(), [f"kubectl kustomize {shlex.quote(str(out / FIX))}"]
    else:
        base, says = "rendered.yaml", _helm(rendered, out, helm)
    return Places(tuple(rendered), root, {**names, "-": STDIN}, base, says)


def _helm(rendered: Sequence[str], out: Path, helm: HelmOptions) -> list[str]:
    """Return how a chart is rendered for a kustomization on top of it."""
    charts = dict.fromkeys(
        str(one) for name in rendered for one in Path(name.removesuffix(" (rendered)")).parents if (one / "Chart.yaml").is_file()
    )
    if not charts:
        return []
    command = ["helm", "template", helm.release, next(iter(charts)), "--namespace", helm.namespace]
    command += [part for value in helm.values for part in ("--values", value)] + [part for one in helm.sets for part in ("--set", one)]
    place = shlex.quote(str(out / FIX / "rendered.yaml"))
    return [f"{shlex.join(command)} > {place}", f"kubectl kustomize {shlex.quote(str(out / FIX))}"]


def files_of(change: ChangeResult) -> Files:
    """Return what is written beside the reports."""
    out: dict[str, Callable[[Path], object]] = {}
    if change.diff:
        data = change.diff.encode()
        out[PATCH] = lambda path: path.write_bytes(data)
    for name, text in change.patches.items():
        out[f"{FIX}/{name}"] = _writer(text)
    return out


def _writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text.encode())


def how_to_apply(change: ChangeResult, folder: Path) -> list[str]:
    """Return what to type, in words."""
    out = []
    if change.diff:
        patch = shlex.quote(str((folder / PATCH).absolute() if change.root else folder / PATCH))
        where = f" -C {shlex.quote(change.root)}" if change.root else ""
        out.append(f"Nothing was changed. To change your files: git{where} apply {patch}")
        if f"+++ b/{STDIN}\n" in change.diff:
            out.append(f"  (the input came from standard input: save it as {STDIN} first)")
    if change.patches:
        head = [line.removeprefix("# ") for line in change.patches["kustomization.yaml"].split("\n") if line.startswith("# ")]
        out.append(f"What was rendered is changed by the kustomization {shlex.quote(str(folder / FIX))}:")
        out += [f"  {line}" for line in head]
    return out
