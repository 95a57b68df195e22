"""Reference pages of the documentation site, made from the declarations themselves while the site is built: they can't grow stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.notes import RULES
from kchaos.properties.catalog import CATALOG
from kchaos.properties.etcd import ETCD

if TYPE_CHECKING:
    from mkdocs.structure.files import Files


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that no file holds (an event of mkdocs)."""
    from mkdocs.structure.files import File

    for name, text in (("properties", properties()), ("faults", faults())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def properties() -> str:
    """Return the page of all rules: what is claimed, since when it is promised, by which source."""
    rows, etcd = ([(f"`{p.id}`", p.name, p.claim, p.guarantee.value, _link(p.source)) for p in known.values()] for known in (CATALOG, ETCD))
    notes = [(f"`{r.id}`", r.name, r.claim, _link(r.source)) for r in RULES]
    return "\n".join([
        "# Properties\n",
        "What is judged in every run. `kchaos explain KC202` shows one of them in the terminal.\n",
        *_table(("id", "name", "claim", "guaranteed", "source"), rows),
        "\n## Of etcd\n",
        "What is judged in every run of `kchaos etcd`, on a real cluster.\n",
        *_table(("id", "name", "claim", "guaranteed", "source"), etcd),
        "\n## Rules of the input\n",
        "What is said of the files themselves, before anything runs.\n",
        *_table(("id", "name", "rule", "source"), notes),
        "",
    ])  # fmt: skip


def faults() -> str:
    """Return the page of all faults and operations."""
    rows = [
        (f"`{k.name}`", k.klass, k.target, k.summary, k.evidence, "; ".join(f"`{one.name}`: {one.words} ({one.default})" for one in k.arguments))
        for k in catalog()
    ]  # fmt: skip
    head = "# Faults and operations\n\nWhat `--faults` can name, what each does, and what shows that it bit. How targets are written: [fault](../fault.md).\n"
    return "\n".join([head, *_table(("name", "class", "target", "what happens", "evidence", "arguments"), rows), ""])


def _link(source: str) -> str:
    return f"[{source.split('://', 1)[1].split('/', 1)[0]}]({source})" if source.startswith("http") else source


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines]
