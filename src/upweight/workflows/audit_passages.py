"""An audit as what people read: the answer in sentences, the rows as they were changed, fragility, what defences leave.

Stands on audit_parts, altered_cards and display; audited shows itself with it, and the command puts it on its page.
Source: UX.md 3 and 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upweight.display.blocks import (
    Block,
    Column,
    Document,
    Facts,
    GradeView,
    RowTable,
    Section,
    Sentence,
    TableRow,
)
from upweight.display.words import absent, among, count, number
from upweight.workflows.altered_cards import RowOf, altered_cards
from upweight.workflows.audit_parts import AlteredRow, Attack, Findings, Joint
from upweight.workflows.passages import value

__all__ = ["SHOWN", "Called", "document", "sentences"]

LISTED = 5  # ids in a sentence
SHOWN = 8  # lines of a table
FLIPS = 20  # names of predictions
CARDS = 3  # changed rows that are shown as they are, of one attack


@dataclass(frozen=True)
class Called:
    """What predictions and rows are called, and what of them may be shown."""

    queries: Sequence[Any] | None = None  # names of the predictions; None: their positions
    row: str = "row"
    row_of: RowOf | None = None
    show_rows: bool = True

    def query(self, i: int) -> str:
        """The prediction's name."""
        return str(i if self.queries is None else self.queries[i])


def document(
    found: Findings,
    k: int = SHOWN,
    called: Called = Called(),
    title: str | None = None,
    grade: GradeView | None = None,
) -> Document:
    """The answer; the changed rows as they are; predictions and rows by fragility; defences; how it was done."""
    noted = tuple(("notes" if i == 0 else "", note) for i, note in enumerate(found.notes))
    trust = Facts((*_graded(grade), ("how", found.how), ("meaning", found.meaning), *noted))
    answer, *more = sentences(found, called)
    sections = [Section("Audit", "audit", (*map(Sentence, more), *_changed(found, called)))]
    tables = [table for table in (_predictions(found, k, called), _joints(found)) if table is not None]
    tables += [table for table in (_rows(found, k, called),) if table is not None]
    sections += [Section("By fragility", "fragility", tuple(tables))] if tables else []
    defences = _defences(found)
    sections += [] if defences is None else [Section("Defences", "defences", (defences,))]
    sections.append(Section("Trust", "trust", (trust,)))
    head = f"Audit of {found.model_name}" if title is None else title
    rows = count(found.training_rows, "training row")
    return Document(head, rows, headline=(answer,), sections=tuple(s for s in sections if s.blocks))


def sentences(found: Findings, called: Called = Called()) -> tuple[str, ...]:
    """The answer in words, the shortest first."""
    if found.together:
        return tuple(_joint_said(found, joint, called) for joint in found.together)
    if found.kind == "regression":
        return (_moved_furthest(found, called),)
    if len(found.attacks) == 1:
        return (_alone(found, found.attacks[0], called),)
    tried = [a for a in found.attacks if not a.note]
    if not tried:
        return (f"None of {count(len(found.attacks), 'prediction')} was attacked: {found.attacks[0].note}.",)
    out = [
        f"{found.flips(k):,} of {count(len(tried), 'prediction')} can be flipped by changing "
        f"{'' if k == 1 else 'at most '}{count(k, f'training {called.row}')} by {found.bound}"
        f"{_confirmed(found, k)}."
        for k in found.allowed
    ]
    first = found.ranked[0]
    if first.flipped:
        out.append(
            f"The most fragile is prediction {called.query(first.query)}: with {_ids(first.altered, called)} changed "
            f"so, the refitted model says {value(first.says_after)} instead of {value(first.says)}."
        )
    left = [a for a in found.attacks if a.note]
    if left:
        names = among([called.query(a.query) for a in left[:LISTED]]) + (" …" if len(left) > LISTED else "")
        was = "was" if len(left) == 1 else "were"
        out.append(f"{count(len(left), 'prediction')} {was} not attacked ({names}): {left[0].note}.")
    return tuple(out)


def _alone(found: Findings, attack: Attack, called: Called) -> str:
    """Of one prediction."""
    name = f"Prediction {called.query(attack.query)}"
    if attack.note:
        return f"{name} was not attacked: {attack.note}."
    if attack.flipped:
        rows = count(len(attack.altered), f"training {called.row}")
        real = "yes, it does" if attack.confirmed else "yes, but that refit found no optimum"
        return f"{name} can be flipped by changing {rows} by {found.bound}; refitted: {real}."
    most = max(found.allowed)
    rows = f"{'' if most == 1 else 'at most '}{count(most, f'training {called.row}')}"
    moves = f"{number(attack.before)} to {number(attack.after, found.unit)}"
    return f"{name} was not flipped by changing {rows} by {found.bound}: by a refit its margin goes from {moves}."


def _moved_furthest(found: Findings, called: Called) -> str:
    far = found.ranked[0]
    alone = len(found.attacks) == 1
    which = f"Prediction {called.query(far.query)} moves" + ("" if alone else " furthest:")
    if not far.altered:
        return f"Prediction {called.query(far.query)} was not moved: {far.note or 'no cell could be changed'}."
    rows = count(len(far.altered), f"training {called.row}")
    moves = f"{number(far.before)} to {number(far.after, found.unit)}"
    return f"{which} from {moves} when {rows} {_change(far.altered)} by {found.bound}; by a refit."


def _joint_said(found: Findings, joint: Joint, called: Called) -> str:
    of = count(int(joint.attacked.sum()), "prediction")
    rows = count(len(joint.altered), f"training {called.row}")
    ids = among([one.row for one in joint.altered[:LISTED]]) + (" …" if len(joint.altered) > LISTED else "")
    real = "by a refit" if joint.confirmed else "by a refit that found no optimum"
    flip = "flips" if joint.flips == 1 else "flip together"
    when = f"when {rows} ({ids}) {_change(joint.altered)} by {found.bound}"
    return f"{joint.flips:,} of {of} {flip} {when}; {real}."


def _confirmed(found: Findings, k: int) -> str:
    """Whether every one of these flips is a refit that ended at its optimum."""
    flips = [a for a in found.attacks if a.flipped and len(a.altered) <= k]
    open_ = sum(not a.confirmed for a in flips)
    if not flips:
        return ""
    return "; confirmed by refits" if not open_ else f"; by refits, {open_:,} of which found no optimum"


def _change(altered: Sequence[AlteredRow]) -> str:
    return "changes" if len(altered) == 1 else "change"


def _ids(altered: Sequence[AlteredRow], called: Called) -> str:
    ids = among([one.row for one in altered[:LISTED]]) + (" …" if len(altered) > LISTED else "")
    return f"{called.row}{'' if len(altered) == 1 else 's'} {ids}"


def _graded(grade: GradeView | None) -> list[tuple[str, str]]:
    """The grade of what was not refitted; its reasons where it is no good one."""
    if grade is None:
        return []
    bad = grade.reasons if grade.letter in ("C", "D") else ()
    said = f"{grade.letter}: {grade.meaning}; that of the estimates which rank the rows, while every flip is a refit's"
    return [("Grade", said), *(("", reason) for reason in bad)]


def _changed(found: Findings, called: Called) -> list[Block]:
    """The rows of the strongest attack as they were changed; a change that flips nothing only where it is the one."""
    if found.together:
        best = max(found.together, key=lambda joint: (joint.flips, -len(joint.altered)))
        ids = [called.query(int(i)) for i in best.flipped.nonzero()[0]]
        more = " …" if len(ids) > FLIPS else ""
        return (
            [_cards(f"changed together; flipped: {', '.join(ids[:FLIPS])}{more}", best.altered, called)] if ids else []
        )
    first = found.ranked[0]
    if not first.altered or not (first.flipped or found.kind == "regression" or len(found.attacks) == 1):
        return []
    says = f"; refitted, it says {value(first.says_after)}" if first.flipped else ""
    return [_cards(f"changed for prediction {called.query(first.query)}{says}", first.altered, called)]


def _cards(title: str, altered: Sequence[AlteredRow], called: Called) -> Block:
    return altered_cards(title, altered, called.row_of, called.row, called.show_rows, CARDS)


def _predictions(found: Findings, k: int, called: Called) -> RowTable | None:
    """Each with what was changed for it, the most fragile first; of a regression, the one that moves furthest."""
    if not found.attacks:
        return None
    classes = found.kind == "classification"
    rows = []
    for a in found.ranked[:k]:
        changed = _ids(a.altered, called) if len(a.altered) == 1 else count(len(a.altered), called.row)
        cells = [number(a.before), number(a.after) if a.altered else absent(), changed if a.altered else "nothing"]
        if classes:
            cells = [value(a.says), value(a.says_after) if a.flipped else "the same", *cells]
            cells.append(f"{a.steps:,}" if a.flipped else f"not in {a.steps:,}" if a.steps else absent())
        rows.append(TableRow(called.query(a.query), tuple(cells)))
    names = [f"{found.measurement} now", "refitted", "changed"]
    names = ["says", "then says", *names, "steps"] if classes else names
    more = len(found.attacks) - k
    some = f"; {more:,} more are not shown" if more > 0 else ""
    unit = f" ({found.unit})" if found.unit else ""
    caption = f"predictions, the most fragile first{unit}{some}"
    return RowTable(caption, tuple(Column(name) for name in names), tuple(rows), "prediction")


def _joints(found: Findings) -> RowTable | None:
    if not found.together:
        return None
    rows = tuple(
        TableRow(
            f"{len(joint.altered):,}",
            (
                f"{joint.flips:,} of {int(joint.attacked.sum()):,}",
                number(joint.loss_before),
                number(joint.loss_after),
                f"{joint.steps:,}",
            ),
        )
        for joint in found.together
    )
    columns = tuple(Column(name) for name in ("flipped", "mean loss now", "refitted", "steps"))
    return RowTable("one change against all predictions", columns, rows, "rows changed")


def _rows(found: Findings, k: int, called: Called) -> RowTable | None:
    """Training rows by what changing them could do."""
    if not found.fragile:
        return None
    what = "the mean loss" if found.together else f"these {found.measurement}s, summed"
    named = [Column("label")] if called.show_rows else []
    rows = tuple(
        TableRow(
            str(one.row),
            (
                *((value(one.label),) if called.show_rows else ()),
                number(one.effect),
                f"{one.altered:,}",
                f"{one.flips:,}",
            ),
        )
        for one in found.fragile[:k]
    )
    columns = (*named, Column("could move them by"), Column("changed in"), Column("flips"))
    caption = f"training rows by how far changing one could move {what}: by the derivative, not refitted"
    return RowTable(caption, columns, rows, called.row)


def _defences(found: Findings) -> RowTable | None:
    """What each leaves of the flips; None where there was nothing to leave. What is done alike is said once."""
    rows, last = [], ""
    for one in found.defended:
        if one.of:
            rows.append(TableRow(one.name, (f"{one.flipped:,} of {one.of:,}", "" if one.kind == last else one.meaning)))
            last = one.kind
    if len(rows) < 2:
        return None
    columns = (Column("flipped"), Column("what was done"))
    return RowTable("flips that are left, each by a refit", columns, tuple(rows), "defence")
