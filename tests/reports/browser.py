"""A page in a real browser: what it looks like, and what its document is after scripts have run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conftest import tool

PATIENCE_S = 240


class Browser:
    """Chromium without a screen; ``folder`` takes its profile and copies of pages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = tool("browser")
        assert found is not None
        self._base = [found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}"]

    def picture(self, page: Path, width: int = 1200, height: int = 1600, dark: bool = False) -> bytes:
        """Return a PNG."""
        target = self._folder / "picture.png"
        self._run(page, f"--window-size={width},{height}", f"--screenshot={target}", *self._scheme(dark))
        return target.read_bytes()

    def document(self, page: Path, script: str = "", width: int = 1200, dark: bool = False) -> str:
        """Return the document after its scripts, and one more that only a copy has, have run."""
        if script:
            text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
            page = self._folder / "copy.html"
            page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        done = self._run(page, f"--window-size={width},1600", "--virtual-time-budget=60000", "--dump-dom", *self._scheme(dark))
        return done.decode("utf-8")

    @staticmethod
    def _scheme(dark: bool) -> list[str]:
        return [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]

    def _run(self, page: Path, *options: str) -> bytes:
        return subprocess.run([*self._base, *options, page.as_uri()], check=True, capture_output=True, timeout=PATIENCE_S).stdout
