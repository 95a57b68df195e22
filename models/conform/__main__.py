"""Print the candidate log of one story file, as JSON lines."""

import sys
from pathlib import Path

from kchaos.canonical import encode
from kchaos.models.conform.stories import run_story

if __name__ == "__main__":
    import msgspec

    for line in run_story(msgspec.json.decode(Path(sys.argv[1]).read_bytes())):
        sys.stdout.write(encode(line).decode() + "\n")
