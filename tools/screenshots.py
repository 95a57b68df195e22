"""Take the pictures of docs/pictures with Chromium: what the report looks like, by day and by night. `make screenshots` runs it.

Each picture is that of a real run of an application in fixtures/, so a changed report changes them: commit them when it looks different.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
MOST = 150_000
"""Bytes of a picture."""
ALONE = "const one = document.querySelector('{0}'); one.open = true; document.querySelector('main').replaceChildren(one);"
"""Leaves of a page one element."""


class Shot(NamedTuple):
    """A picture: of which application, how large, and what is left of the page (a selector; empty: all)."""

    name: str
    application: str
    width: int
    height: int
    only: str = ""


SHOTS = (
    Shot("report-pass", "guestbook", 960, 740),
    Shot("report-fail", "wordpress", 960, 640),
    Shot("diagram", "guestbook", 1000, 470, "article .scroll"),
    Shot("moments", "guestbook", 1000, 760, "article:nth-of-type(2) details:nth-of-type(2)"),
    Shot("matrix", "guestbook", 1300, 230, "table.wide"),
)


def browser() -> str:
    """Return the path of a Chromium."""
    found = next((path for name in ("chromium", "google-chrome", "chromium-browser") if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("needs Chromium: make tools installs it on Debian")
    return found


def report(application: str, folder: Path) -> Path:
    """Run an application; return its report."""
    out = folder / application
    command = ["run", f"fixtures/applications/{application}", "--corpus", "none", "--quiet", "--out", str(out)]
    done = subprocess.run([sys.executable, "-m", "kchaos.cli", *command], cwd=ROOT, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    page = out / "report.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(f" --corpus none --quiet --out {out}", "").replace(f"{out}/", f".kchaos/{application}/"), encoding="utf-8")
    return page


def take(shot: Shot, page: Path, dark: bool, folder: Path) -> Path:
    """Take one picture; return its file."""
    if shot.only:
        text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
        page = folder / "part.html"
        page.write_text(text.replace("</body>", f"<script>{ALONE.format(shot.only)}</script></body>"), encoding="utf-8")
    target = PICTURES / f"{shot.name}-{'dark' if dark else 'light'}.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}"]
    options += [f"--window-size={shot.width},{shot.height}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    subprocess.run([browser(), *options, f"--screenshot={target}", page.as_uri()], check=True, capture_output=True, timeout=120)
    return target


def main() -> int:
    """Take all; fail if one is too large."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    code = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = {application: report(application, folder) for application in dict.fromkeys(shot.application for shot in SHOTS)}
        for shot in SHOTS:
            for dark in (False, True):
                target = take(shot, pages[shot.application], dark, folder)
                size = target.stat().st_size
                sys.stdout.write(f"{target.relative_to(ROOT)}: {size / 1000:.0f} kB\n")
                if size > MOST:
                    sys.stdout.write(f"  is too large: at most {MOST / 1000:.0f} kB\n")
                    code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
