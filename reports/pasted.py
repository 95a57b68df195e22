"""What can be copied from the report's page beside commands: a finding as a pytest file of its own."""

from __future__ import annotations

import json

from kchaos.check.verdict import Finding

_FILE = '''from kchaos import replay


def test_{name}() -> None:
    {claim}
    found = replay({scenario})
    assert not found.violations, str(found)
'''


def pytest_file(finding: Finding) -> str:
    """Return a pytest file that replays a finding's scenario from the folder in which its command was given; it fails as the run did.

    Texts stand in it as JSON strings, which are Python's too: a hostile name stays a text.
    """
    claim = f"{finding.id} {finding.property}: {finding.object or finding.summary}"
    return _FILE.format(
        name=f"{finding.id}_{finding.fingerprint[:8]}".lower(), claim=json.dumps(claim), scenario=json.dumps(finding.replay),
    )  # fmt: skip
