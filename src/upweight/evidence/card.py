"""An evidence record as a section of a model card, in Markdown: whatever stands in it is text, never markup.

Stands on the record's content and display.words; `Evidence.model_card` stands on it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upweight.display.words import GRADES, count, measured, number

__all__ = ["card", "code_block", "escaped"]

_MARKUP = re.compile(r"([\\`*_{}\[\]#|~!$])")
_OPENING = re.compile(r"^([-+=]|\d+(?=[.)](?:\s|$)))")  # at the start of a line: a list, a heading
_LINKS = (("://", "&#58;//"), ("www.", "www&#46;"), ("@", "&#64;"))  # what some renderers link unasked
SHOWN = 20  # predictions; the record holds all of them
Rows = Sequence[Mapping[str, Any]]


def card(record: Mapping[str, Any]) -> str:
    """The section: question, rows, refit proof, check, seed, versions, fingerprints."""
    parts = [
        "## Which training rows are behind it: evidence",
        *_question(record),
        *_answers(record),
        *_proof(record),
        *_again(record),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: Any) -> str:
    """Any text on one line of Markdown, in a table's cell too: no markup, no HTML, no link."""
    plain = " ".join(str(text).split())
    plain = "".join(c for c in plain if c.isprintable())
    out = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    out = _MARKUP.sub(r"\\\1", out)
    for sign, entity in _LINKS:
        out = out.replace(sign, entity)
    start = _OPENING.match(out)
    if start is None:
        return out
    word = start.group()
    return f"{word}\\{out[len(word) :]}" if word.isdigit() else f"\\{out}"


def code_block(text: str) -> str:
    """Text as it is, in a fence that it cannot close."""
    plain = "\n".join("".join(c for c in line if c.isprintable()) for line in text.splitlines())
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{plain}\n{fence}"


def _question(record: Mapping[str, Any]) -> Iterator[str]:
    asked, answer, model = record["question"], record["answer"], record["model"]
    target = f" of {escaped(asked['target'])}" if asked["target"] is not None else ""
    yield (
        f"{escaped(model['name'])}{target}, learnt from {count(model['train_rows'], 'row')}. "
        f"Asked on {escaped(record['date'])}. Rows are named by their ids; their contents are not part of this record."
    )
    yield escaped(answer["meaning"])


def _answers(record: Mapping[str, Any]) -> Iterator[str]:
    answer = record["answer"]
    name = escaped(answer["id_name"])
    for prediction in answer["predictions"][:SHOWN]:
        title = f"### {name.capitalize()} {escaped(prediction['id'])}"
        if prediction["says"] is not None:
            title += f": the model says {escaped(prediction['says'])}"
        yield title
        yield from _rows(prediction["rows"], prediction, name)
        yield from (escaped(text) for text in prediction["sentences"][1:])
    if (more := len(answer["predictions"]) - SHOWN) > 0:
        yield f"{count(more, 'more prediction')}: in the record."
    if answer["overall"] is not None and answer["overall"]["rows"]:
        yield f"### Rows that hurt {answer['overall']['queries']:,} held-out predictions most"
        yield from _rows(answer["overall"]["rows"], answer["overall"], name)


def _rows(rows: Rows, of: Mapping[str, Any], name: str) -> Iterator[str]:
    if not rows:
        yield "No row changes it."
        return
    what, unit = escaped(measured(of["measurement"])), escaped(of["unit"])
    head = [name, "is", f"without it {what} would change by ({unit}), estimated", "really refitted", "proof"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = (
            escaped(row["id"]),
            escaped(row["verdict"]),
            _signed(row["estimate"]),
            _signed(row["refit"]),
            _proof_of(row),
        )
        lines.append("| " + " | ".join(cells) + " |")
    now = (
        "" if of["now"] is None else f"{what[:1].upper()}{what[1:]} now: {escaped(number(of['now'], of['unit']))}.\n\n"
    )
    yield now + "\n".join(lines)


def _proof(record: Mapping[str, Any]) -> Iterator[str]:
    check, grade = record["check"], record["grade"]
    yield "### How far to trust it"
    lines = [f"- Grade {grade['letter']}: {GRADES[grade['letter']]}"]
    lines += [f"- {escaped(reason)}" for reason in grade["reasons"]]
    if check is not None:
        lines.append(f"- {escaped(check['sentence'])}")
    for prediction in record["answer"]["predictions"]:
        flip = prediction["flip"]
        if flip is not None and flip["certificate"] is not None:
            lines.append(f"- without the rows of its smallest flip: {escaped(flip['certificate']['sentence'])}")
    yield "\n".join(lines)


def _again(record: Mapping[str, Any]) -> Iterator[str]:
    sums = {name: value for name, value in record["fingerprints"].items() if value is not None}
    yield "### To find it out again"
    if record["command"] is not None:
        yield code_block(record["command"])
    said = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [f"- seed {record['seed']}", f"- {escaped(said)}"]
    lines += [f"- sha256 of the {name}: `{value}`" for name, value in sums.items()]
    yield "\n".join(lines)


def _proof_of(row: Mapping[str, Any]) -> str:
    found = row["certificate"]
    if found is None:
        return "not refitted" if row["refit"] is None else "none"
    if found["proved"] and found["outputs_within"] is not None:
        return f"outputs within {found['outputs_within']:.0e}"
    return "not proved"


def _signed(value: float | None) -> str:
    text = number(value) if value is not None else "–"
    return f"+{text}" if value is not None and value > 0 else text
