"""The result as JUnit XML: one test case per rule that was judged, failures where findings are as bad as the bar."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.result import Result
from kchaos.properties.catalog import CATALOG

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Result, fail_on: Severity = Severity.ERROR) -> bytes:
    """Return the document."""
    by_id: dict[str, list[Finding]] = {}
    for finding in result.findings:
        by_id.setdefault(finding.id, []).append(finding)
    names = {
        **{ident: prop.name for ident, prop in CATALOG.items()},
        **{one.id: one.name for one in result.properties},
        **{f.id: f.property for f in result.findings},
    }
    suite = ElementTree.Element("testsuite", name="kchaos", timestamp="", tests="0", failures="0", errors="0", skipped="0")
    failures = 0
    idle = [one.id for one in result.properties if not one.exercised]
    for ident in sorted(names):
        found = [f for f in by_id.get(ident, ()) if not f.accepted]
        bad = [f for f in found if f.severity.rank <= fail_on.rank and not f.known]
        case = ElementTree.SubElement(suite, "testcase", classname="kchaos", name=f"{ident} {names[ident]}", time="0")
        for finding in bad:
            failures += 1
            node = ElementTree.SubElement(
                case, "failure", message=_clean(f"{finding.object}: {finding.summary}")[:500], type=finding.severity.value
            )
            where = f"{finding.file}:{finding.line}\n" if finding.file else ""
            node.text = _clean(where + "\n".join(finding.story) + (f"\n→ {finding.advice}" if finding.advice else ""))
        others = [f for f in found if f not in bad]
        if others:
            out = ElementTree.SubElement(case, "system-out")
            out.text = _clean("\n".join(f"{'known ' * f.known}{f.severity.value}: {f.object}: {f.summary}" for f in others))
        if ident in idle and not bad:
            ElementTree.SubElement(case, "skipped", message="never judged: nothing is known of it")
    if result.verdict == "unknown":
        case = ElementTree.SubElement(suite, "testcase", classname="kchaos", name="verdict", time="0")
        node = ElementTree.SubElement(case, "error", message=_clean("; ".join(result.reasons))[:500], type="unknown")
        suite.set("errors", "1")
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(failures))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    del suite.attrib["timestamp"]
    body: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _clean(text: str) -> str:
    """Return text without the characters that XML 1.0 forbids."""
    return _FORBIDDEN.sub("\ufffd", text)
