"""The work of `upweight demo`: explain one digit, print the page, write the report.

Stands on workflows.demo and page; imported when the command runs.
"""

from dataclasses import replace
from pathlib import Path

from upweight.cli.facts import provenance
from upweight.cli.forms import FORM, explanation_form
from upweight.cli.page import command_line, print_json, print_page, took, written
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Document, Facts, Reasons, Section, Sentence
from upweight.display.html import write_report
from upweight.display.words import number
from upweight.workflows.demo import TARGET, Demo, demo
from upweight.workflows.pages import document, grade_view
from upweight.workflows.passages import flip_sentence, overall_table, row_cards, value
from upweight.workflows.quality import quality

__all__ = ["run"]


def run(out: Path, seed: int, progress: Progress, show_rows: bool, as_json: bool) -> None:
    """The page on stdout; digits.csv, model.skops and report.html in `out`.

    Raises: FileError.
    """
    progress.begin(4, "demo")
    found = demo(out, seed, progress)
    progress.close()
    progress.written += [str(found.data), str(found.model)]
    report = out / "report.html"
    facts = _facts(found)
    again = Command(command_line("demo", out, ()).replace(f" {out}", f" --out {out}"), "Run again")
    write_report(
        document(
            found.explanation,
            f"{found.data.name} · {TARGET}",
            "handwritten digits from scikit-learn",
            written("demo"),
            facts,
            [provenance(found.table, seed), again],
            show_rows,
        ),
        report,
    )
    if as_json:
        head = {"upweight": FORM, "command": "demo", "data": str(found.data), "seed": seed}
        tail = {"report": str(report), "seconds": round(progress.seconds, 2)}
        print_json({**head, **explanation_form(found.explanation, show_rows), **tail})
        return
    print_page(_page(found, report, facts, progress.seconds, show_rows))


def _facts(found: Demo) -> list[tuple[str, str]]:
    table = found.table
    data = (
        f"{len(table.frame):,} rows, {len(table.frame.columns) - 1} numbers each, "
        f"{len(table.influence.adapted.classes)} classes · {len(table.train):,} train, {len(table.held_out):,} held out"
    )
    return [("data", data), ("model", f"logistic regression, {quality(table)}")]


def _page(found: Demo, report: Path, facts: list[tuple[str, str]], seconds: float, show_rows: bool) -> Document:
    explanation = found.explanation
    prediction = explanation.predictions[0]
    name = explanation.id_name
    title = f"Why did the model read held-out row {prediction.id} as {_digit(prediction.says)}?"
    title += f" (it is {_digit(prediction.truth)})" if show_rows else ""
    cards = row_cards(prediction, name, show_rows, sentences=False)
    cards = replace(cards, groups=cards.groups[:2])  # the nearest rows are in the report
    flip = flip_sentence(prediction, name)
    why: list[Block] = [cards, *([Sentence(flip, strong=True)] if flip else [])]
    sections = [Section("", "data", (Facts(tuple(facts)),)), Section(title, "why", tuple(why))]
    if explanation.overall is not None:
        now = f"(loss now: {number(explanation.overall.now, decimals=3)} a row)"
        table = overall_table(explanation.overall, name, show_rows)
        sections.append(Section("Rows that hurt the held-out digits most", "rows", (table,), now))
    next_line = command_line(
        "explain", found.data, (("--target", TARGET), ("--model", found.model), ("--row", prediction.id))
    )
    last = (
        Facts((("Checked", explanation.checked),)),
        Reasons(grade_view(explanation)),
        Facts((("Report", f"{report}     open it in a browser; it needs no internet"),)),
        Command(next_line),
    )
    sections.append(Section("", "last", last))
    subtitle = "handwritten digits from scikit-learn, nothing is downloaded"
    return Document("upweight demo", subtitle, sections=tuple(sections), footer=took(seconds))


def _digit(label: object) -> str:
    """ "a 1", "an 8"."""
    return f"{'an' if str(label) == '8' else 'a'} {value(label)}"
