"""A record beside one that was found again: every estimate, refit, flip and word of one against the other's.

Stands on nothing but the two records' content; `Evidence.compare` and `upweight check --evidence` stand on it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upweight.display.words import count

__all__ = ["Difference", "Reproduction", "compared"]

NOISE = 1e-13  # in any unit: what rounding leaves of outputs that two machines refit
ABSENT = object()


@dataclass(frozen=True)
class _Claim:
    """One thing that a record says. `refit`: whether it is a real removal; `near`: beside what its error is read."""

    value: Any
    near: str
    refit: bool = False


@dataclass(frozen=True)
class Difference:
    """Where two records part: `where` ("row 46, without row 832"), `what` ("refit"), and both values."""

    where: str
    what: str
    filed: Any  # None: absent
    found: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.what} is {_said(self.filed)} in the record, {_said(self.found)} now"


@dataclass(frozen=True)
class Reproduction:
    """How a record came out when it was run again: `agree` of `refits` real removals, and all that differs."""

    refits: int
    agree: int
    others: int  # estimates, values and words that were compared beside them
    tolerance: float
    largest: float  # the largest difference of a refit that agrees, relative
    differences: tuple[Difference, ...]
    versions: Mapping[str, tuple[str | None, str | None]]  # then and now, where they differ

    @property
    def reproduced(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def sentence(self) -> str:
        """How it came out, in a line."""
        close = f"{self.tolerance:.0e}".replace("e-0", "e-")
        agree = (
            f"{self.agree:,} of {count(self.refits, 'refit')} {'agrees' if self.refits == 1 else 'agree'} to {close}"
        )
        others = count(self.others, "value")
        if not self.reproduced:
            differ = f"{len(self.differences):,} of what it says is not what is found now"
            return f"not reproduced: {agree}; {differ}" if self.refits else f"not reproduced: {differ}"
        if not self.refits:
            return f"reproduced: {others} agree to {close}; nothing was refitted, then or now"
        return f"reproduced: {agree}, and so does all else that was compared ({others})"


def compared(filed: Mapping[str, Any], found: Mapping[str, Any], tolerance: float) -> Reproduction:
    """The record `filed` against `found`, what is found now.

    tolerance: of numbers, relative to the largest effect beside them. Sentences are compared where both were written
    by one version of upweight.
    """
    versions = _versions(filed, found)
    words = "upweight" not in versions
    then, now = dict(_claims(filed, words)), dict(_claims(found, words))
    scales = {near: _scale(now, near) for near in {c.near for c in then.values()}}
    differences, refits, agree, largest = [], 0, 0, 0.0
    for (where, what), claim in then.items():
        other = now.get((where, what), _Claim(ABSENT, claim.near))
        error = _error(claim.value, other.value, scales[claim.near])
        real = claim.refit and _has_number(claim.value)  # null: there was no refit
        refits += real
        if error <= tolerance:
            agree += real
            largest = max(largest, error if real else 0.0)
        else:
            differences.append(Difference(where, what, claim.value, None if other.value is ABSENT else other.value))
    for (where, what), claim in now.items():
        if (where, what) not in then:
            differences.append(Difference(where, what, None, claim.value))
    return Reproduction(refits, agree, len(then) - refits, tolerance, largest, tuple(differences), versions)


def _claims(record: Mapping[str, Any], words: bool) -> Iterator[tuple[tuple[str, str], _Claim]]:
    """Every claim by where it stands and what it is."""
    answer, name = record["answer"], record["answer"]["id_name"]
    for key, value in record["model"].items():
        yield ("the model", key), _Claim(value, "")
    if words:
        yield ("the answer", "meaning"), _Claim(answer["meaning"], "")
    asked = "query" if record["question"]["asked_by"] == "python" else name
    for i, prediction in enumerate(answer["predictions"]):
        where = f"{asked} {prediction['id']}"
        near = f"prediction {i}"
        for key in ("says", "probability", "measurement", "unit", "now"):
            yield (where, key), _Claim(prediction[key], near if key == "now" else "")
        yield from _removals(prediction["rows"], where, name, near, words)
        if prediction["flip"] is not None:
            yield from _flip(prediction["flip"], where, near, words)
        if words:
            for j, text in enumerate(prediction["sentences"]):
                yield (where, f"sentence {j + 1}"), _Claim(text, "")
    if answer["overall"] is not None:
        overall = answer["overall"]
        for key in ("measurement", "unit", "now", "queries", "held_out"):
            yield ("the held-out rows", key), _Claim(overall[key], "overall" if key == "now" else "")
        yield from _removals(overall["rows"], "the held-out rows", name, "overall", words)
    if record["check"] is not None:
        yield from _check(record["check"], name, words)
    yield ("the grade", "letter"), _Claim(record["grade"]["letter"], "")


def _removals(
    rows: list[Mapping[str, Any]], where: str, name: str, near: str, words: bool
) -> Iterator[tuple[tuple[str, str], _Claim]]:
    for row in rows:
        without = f"{where}, without {name} {row['id']}"
        yield (without, "refit"), _Claim(row["refit"], near, refit=True)
        yield (without, "estimate"), _Claim(row["estimate"], near)
        yield (without, "verdict"), _Claim(row["verdict"], "")
        yield (without, "proof"), _Claim(_proved(row), "")
        if words:
            yield (without, "sentence"), _Claim(row["sentence"], "")


def _flip(flip: Mapping[str, Any], where: str, near: str, words: bool) -> Iterator[tuple[tuple[str, str], _Claim]]:
    place, beside = f"{where}, its smallest flip", f"{near} flip"
    rows = sorted(flip["rows"], key=lambda row: (str(type(row)), str(row)))
    yield (place, "rows"), _Claim([str(row) for row in rows], "")
    margin = flip["margin"] or []
    yield (place, "margins"), _Claim(margin, beside, refit=bool(flip["rows"]))
    for key in ("before", "after", "proved"):
        yield (place, key), _Claim(flip[key], "")
    yield (place, "proof"), _Claim(_proved(flip), "")
    if words:
        yield (place, "sentence"), _Claim(flip["sentence"], "")


def _check(check: Mapping[str, Any], name: str, words: bool) -> Iterator[tuple[tuple[str, str], _Claim]]:
    for j, row in enumerate(check["rows"]):
        without = f"the check, without {name} {row}"
        yield (without, "refit"), _Claim([_item(line, j) for line in check["refit"]], "check", refit=True)
        yield (without, "estimate"), _Claim([_item(line, j) for line in check["estimate"]], "check")
    for group in check["groups"]:
        without = f"the check, {group['rows']} rows {group['name']}"
        yield (without, "refit"), _Claim(group["refit"], "groups", refit=True)
        yield (without, "estimate"), _Claim(group["estimate"], "groups")
    for key in ("measurement", "unit", "pearson", "spearman", "slope", "signs", "unfinished"):
        yield ("the check", key), _Claim(check[key], "")
    if words:
        yield ("the check", "sentence"), _Claim(check["sentence"], "")


def _proved(of: Mapping[str, Any]) -> bool:
    return of["certificate"] is not None and bool(of["certificate"]["proved"])


def _item(line: list[Any], j: int) -> Any:
    return line[j] if j < len(line) else None


def _scale(found: Mapping[Any, _Claim], near: str) -> float:
    """The largest effect that a difference is read beside; 1 for what stands alone."""
    if not near:
        return 1.0
    return max((_largest(c.value) for c in found.values() if c.near == near), default=0.0)


def _largest(value: Any) -> float:
    if isinstance(value, list):
        return max((_largest(x) for x in value), default=0.0)
    return abs(float(value)) if _is_number(value) else 0.0


def _error(filed: Any, found: Any, scale: float) -> float:
    """How far apart, relative to the scale; 0 for rounding and what is the same, infinite where no number is beside."""
    if isinstance(filed, list) and isinstance(found, list) and len(filed) == len(found):
        return max((_error(x, y, scale) for x, y in zip(filed, found, strict=True)), default=0.0)
    if _is_number(filed) and _is_number(found):
        apart = abs(float(filed) - float(found))
        return 0.0 if apart <= NOISE else apart / (scale or apart)
    return 0.0 if type(filed) is type(found) and filed == found else math.inf


def _has_number(value: Any) -> bool:
    return any(_has_number(x) for x in value) if isinstance(value, list) else _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _versions(filed: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    then, now = filed["versions"], found["versions"]
    return {
        name: (then.get(name), now.get(name))
        for name in dict.fromkeys((*then, *now))
        if then.get(name) != now.get(name)
    }


def _said(value: Any) -> str:
    if value is None:
        return "absent"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
