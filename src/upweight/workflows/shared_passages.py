"""Mistakes that share their harmful rows, as what people read: a sentence, the mistakes, the rows; and who shares none.

Stands on explanation, passages and display; pages puts the blocks on a page, unless rows stay unseen: to be called a
mistake tells the truth of a row. Source: UX.md 6.
"""

from upweight.display.blocks import Block, CardGroup, Column, RowCard, RowCards, RowTable, Sentence, TableRow
from upweight.display.row_view import row_view
from upweight.display.words import among, count, group_title, measured, percent, short, size, verdict
from upweight.workflows.explanation import SharedHarm, SharedRow, Together
from upweight.workflows.passages import value

__all__ = ["TITLE", "shared_blocks", "shared_sentence"]

TITLE = "Mistakes that share their harmful rows"
NAMED = 12  # rows of a sentence
NOTICED = 0.1  # of the loss or error that several mistakes have: below it they hang on nothing


def shared_blocks(shared: SharedHarm, id_name: str) -> list[Block]:
    """One sentence for each group, its mistakes and rows where they matter, then the mistakes that share nothing."""
    blocks: list[Block] = []
    for group in shared.groups:
        told = _matters(group)
        blocks.append(Sentence(shared_sentence(shared, group, id_name), strong=told))
        if not told:  # rows that mend nothing are not worth a page
            continue
        blocks.append(_mistakes(group, id_name))
        blocks.append(_rows(group, id_name))
        if group.held_out is not None:
            what = measured(group.held_out.measurement)
            blocks.append(Sentence(f"By the same refit {what} of all held-out rows would {short(group.held_out)}."))
    if shared.alone:
        blocks.append(Sentence(_alone(shared, id_name)))
    return blocks


def shared_sentence(shared: SharedHarm, group: Together, id_name: str) -> str:
    """ "6 of 20 mistakes hang on the same 3 rows (832, 678, 247): without them 4 would be right; refitted, 4 are." """
    n, k = len(group.mistakes), len(group.rows)
    noun = "mistake" if shared.is_class else "prediction"
    whole = shared.mistakes
    which = count(n, noun) if n == whole else f"{n} of {count(whole, noun)}"
    ids = ", ".join(str(row.effect.id) for row in group.rows[:NAMED]) + (" …" if k > NAMED else "")
    same = f"the same {id_name} ({ids})" if k == 1 else f"the same {k} {id_name}s ({ids})"
    without = "it" if k == 1 else "them"
    their = f"their {measured(group.refit.measurement).removeprefix('the ')}"
    changes = f"{their} would {short(group.estimate)} (really refitted: {short(group.refit)})"
    if not _matters(group):
        members = among([one.id for one in group.mistakes[:NAMED]]) + (" …" if n > NAMED else "")
        return f"{which} ({members}) are harmed by {same}, but hardly: without {without} {changes}."
    start = f"{which} hang on {same}: without {without}"
    if group.mended is None:
        return f"{start} {changes}."
    estimated, refitted = group.mended
    if refitted is None:
        return f"{start} {_number(estimated)} would be right (estimated; the refit found no optimum)."
    if refitted == 0:
        return f"{start} none is right, but {changes}."
    are = "is" if refitted == 1 else "are"
    return f"{start} {_number(estimated)} would be right. Really refitted: {_number(refitted)} {are}."


def _matters(group: Together) -> bool:
    """Whether a refit mends one of them, or lowers what is measured enough to be noticed."""
    effect = group.refit if group.refit.change is not None else group.estimate
    if group.mended is not None and (group.mended[1] if group.mended[1] is not None else group.mended[0]):
        return True
    return effect.change is not None and bool(effect.base) and abs(effect.change) >= NOTICED * abs(effect.base or 0.0)


def _number(n: int) -> str:
    return f"{n:,}" if n else "none"


def _mistakes(group: Together, id_name: str) -> RowTable:
    """Each mistake now and without all of the shared rows."""
    first = group.refit
    plain = first.measurement not in ("loss", "prob") and first.unit != "probability"
    what = f"without all of them {measured(first.measurement)} would" + (f" ({first.unit})" if plain else "")
    columns = (Column("it is"), Column("says"), Column("then says"), Column("estimate"), Column("refit"))
    rows = tuple(
        TableRow(
            str(one.id),
            (
                value(one.truth),
                value(one.says),
                "–" if one.after is None else value(one.after),
                _bare(short(one.estimate), first.unit, plain),
                _bare(short(one.refit), first.unit, plain),
            ),
        )
        for one in group.mistakes
    )
    return RowTable(what, columns, rows, id_name)


def _bare(text: str, unit: str, plain: bool) -> str:
    """Without the unit that the heading names."""
    return text.removesuffix(f" {unit}") if plain else text


def _rows(group: Together, id_name: str) -> RowCards:
    """The shared rows as they are, with what each alone does to all mistakes of the group."""
    first, m = group.refit, len(group.mistakes)
    title = group_title("harmful", first.measurement, where=f"of these {m}", better=first.better)
    return RowCards((CardGroup(title, tuple(_card(row, m, id_name) for row in group.rows), "harmful"),))


def _card(row: SharedRow, mistakes: int, id_name: str) -> RowCard:
    effect = row.effect
    real = effect.shown
    sentence = f"model says {value(effect.says)}; harms {row.harms} of {mistakes}; {percent(row.share)} of the harm; "
    sentence += f"estimated: {short(effect.estimate)}"
    view = row_view(effect.row, alt=f"training {id_name} {effect.id}") if effect.row else None
    return RowCard(
        str(effect.id),
        view,
        value(effect.label),
        short=f"by {size(real)}" if verdict(real) == "harmful" else short(real),
        sentence=sentence,
        verdict=None if effect.verdict == "harmful" else effect.verdict,
        id_name=id_name,
    )


def _alone(shared: SharedHarm, id_name: str) -> str:
    noun = "mistake" if shared.is_class else "prediction"
    if not shared.groups:
        return f"No two of the {count(len(shared.alone), noun)} share their harmful rows."
    ids = ", ".join(str(one) for one in shared.alone)
    if len(shared.alone) == 1:
        return f"1 {noun} shares its harmful rows with no other: {id_name} {ids}."
    return f"{len(shared.alone)} {noun}s share their harmful rows with no other: {id_name}s {ids}."
