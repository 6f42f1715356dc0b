"""The published schema of an evidence record, and where a record is not as it says.

Stands on nothing of ours; the reader stands on it. Source: JSON Schema, draft 2020-12; only the keywords that it uses.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["FORMAT", "faults", "schema"]

FORMAT = 1  # a reader refuses a greater one by name
LARGEST = sys.float_info.max  # JSON's 1e999 is no number here


@cache
def schema() -> Mapping[str, Any]:
    """The schema as it is published: `upweight/schemas/evidence-1.json`."""
    text = files("upweight").joinpath("schemas", f"evidence-{FORMAT}.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def faults(record: Any) -> Iterator[str]:
    """Where a record is not laid out as the schema says, each in a few words; none where it is."""
    return _faults(record, schema(), "")


def _faults(value: Any, rule: Mapping[str, Any], at: str) -> Iterator[str]:
    if "$ref" in rule:
        yield from _faults(value, schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")], at)
        return
    if "anyOf" in rule:
        if value is not None:  # every choice of ours is something or null
            yield from _faults(value, rule["anyOf"][0], at)
        return
    here = at or "the record"
    if "const" in rule and (value != rule["const"] or isinstance(value, bool)):
        yield f"{here} is {value!r:.40}, not {rule['const']!r}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{here} is {value!r:.40}, not one of {', '.join(map(str, rule['enum']))}"
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{here} is {value!r:.40}, not {' or '.join(kinds)}"
        return
    if isinstance(value, str) and "pattern" in rule and not re.search(rule["pattern"], value):
        yield f"{here} is {value!r:.40}, which is no sha256"
    if "minimum" in rule and value < rule["minimum"]:
        yield f"{here} is {value!r:.40}, below {rule['minimum']}"
    if isinstance(value, Mapping):
        yield from _of_object(value, rule, at)
    if isinstance(value, list) and "items" in rule:
        for i, item in enumerate(value):
            yield from _faults(item, rule["items"], f"{at}[{i}]")


def _of_object(value: Mapping[str, Any], rule: Mapping[str, Any], at: str) -> Iterator[str]:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for name in rule.get("required", ()):
        if name not in value:
            yield f"{_inside(at, name)} is missing"
    for name, item in value.items():
        if name in known:
            yield from _faults(item, known[name], _inside(at, name))
        elif others is False:
            yield f"{_inside(at, f'{name:.40}')} is not known"
        elif isinstance(others, Mapping):
            yield from _faults(item, others, _inside(at, name))


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _is(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float) and abs(value) > LARGEST:
        return False
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, Any] = {"number": int | float, "string": str, "array": list, "object": Mapping}
    return isinstance(value, kinds[kind])
