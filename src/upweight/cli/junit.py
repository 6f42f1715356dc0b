"""The outcome of a check as JUnit XML, for CI.

Stands on validation.check; the checks of tables and of networks stand on it.
"""

import xml.etree.ElementTree as ET

from upweight.display.text import clean
from upweight.validation.check import Check

__all__ = ["junit_xml"]


def junit_xml(outcome: Check, name: str, min_grade: str | None, seconds: float) -> str:
    """One test case: the grade, a failure where it is below `min_grade`."""
    failed = min_grade is not None and outcome.grade.letter > min_grade.upper()
    totals = {"tests": "1", "failures": str(int(failed)), "errors": "0", "time": f"{seconds:.3f}"}
    suite = ET.Element("testsuite", {"name": "upweight check", **totals})
    case = ET.SubElement(
        suite, "testcase", {"classname": "upweight.check", "name": clean(name), "time": f"{seconds:.3f}"}
    )
    said = f"grade {outcome.grade.letter}: {'; '.join(outcome.grade.reasons)}"
    if failed:
        wanted = f"grade {outcome.grade.letter} is below {(min_grade or '').upper()}"
        ET.SubElement(case, "failure", {"message": wanted, "type": "grade"}).text = clean(said)
    ET.SubElement(case, "system-out").text = clean(f"{outcome.sentence()}; {said}")
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
