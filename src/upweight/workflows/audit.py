"""How far a few training rows, changed within a bound, can move predictions: found by sign steps, counted by refits.

Stands on influence and the audit's parts; the command and Python call it. Source: Koh & Liang (2017), section 5.2;
METHODS.md 9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters.row_inputs import RowInputs
from upweight.arrays import to_numpy
from upweight.errors import InputError, listed
from upweight.features import Subset
from upweight.influence import Influence
from upweight.measurement import class_of, decided, measurement
from upweight.workflows.audit_bounds import Bounds, bounds
from upweight.workflows.audit_defences import DEFENCES, Flip, defended
from upweight.workflows.audit_goals import LossOfAll, MarginOf, ValueOf, margins
from upweight.workflows.audit_search import Found, Plan, search
from upweight.workflows.audit_steps import STEPS_TO_BOUND, Gains, Subject, gains
from upweight.workflows.audit_subject import altered_rows, refitter, subject_of
from upweight.workflows.audited import Attack, Audit, FragileRow, Joint
from upweight.workflows.reading import plain, says_there

__all__ = ["audit"]

STEPS = 100  # of the paper
LEVELS = (1, 2, 4, 8)  # grid steps of the defence table
TRIES = 3

Floats = NDArray[np.float64]


def audit(
    model: Any,
    X: Any = None,
    y: Any = None,
    X_query: Any = None,
    y_query: Any = None,
    *,
    rows: Any = 1,
    within: Any = None,
    limits: Any = None,
    precision: Any = None,
    together: bool = False,
    steps: int = STEPS,
    tries: int = TRIES,
    defences: Sequence[str] = tuple(DEFENCES),
    levels: Sequence[int] = LEVELS,
) -> Audit:
    """How few training rows, changed within a bound, flip these predictions; every flip is a refitted model's.

    model: a fitted scikit-learn classifier or regressor with its training rows X, y; or an Influence (X, y stay None),
    from_torch too where what moves is a linear head. y_query None: the labels that the model says; a prediction that
    is already another label is not attacked. rows: how many rows may be changed at once, or several numbers to try.
    within: how far a cell may move, in its own unit: a number, {column: number} (columns not named stay), or an array;
    None: half of what the column's digits or levels show (where it has none, 1 % of its standard deviation). Columns
    of words, of two values and of categories stay. limits: (least, greatest) of what is valid, as `within`; None: the
    column's own least and greatest (of an image the channel's). precision: the step of the grid on which the data are
    stored (1 grey level); None: what the data show. together: one change against the mean loss of all queries, instead
    of one for each. steps: sign steps of within / 25 at most, after each of which the model is refitted. tries: where
    one row may be changed, how many are tried: each for a fifth of the steps, then the best. defences: which are
    tabulated. levels: grid steps.
    A regression has no flip: how far the prediction moves, away from y_query where given.
    Raises: UnsupportedModel, UnsupportedQuestion by name; InputError.
    """
    plan = _plan(rows, steps, tries)
    _refuse_unknown(defences, levels)
    influence = _influence(model, X, y)
    adapted = influence.adapted
    if X_query is None:
        raise InputError("audit needs X_query: the rows whose predictions are attacked.")
    if max(plan.allowed) >= len(influence.row_ids):
        raise InputError(
            f"rows is {max(plan.allowed)}, and the model learnt from {len(influence.row_ids)}. Give fewer."
        )
    subject = subject_of(influence)
    bound = bounds(subject.inputs, within, limits, precision)
    asked = _Asked(influence, subject, bound, plan, X_query, y_query)
    flips = list[Flip]()
    attacks, joints = tuple[Attack, ...](), tuple[Joint, ...]()
    if adapted.kind == "regression":
        if together:
            raise InputError(
                "predictions of a regression do not flip, so they are not attacked together. Leave it out."
            )
        attacks = tuple(asked.moved(i) for i in range(asked.queries.rows))
    elif together:
        joints, flips = asked.joint()
    else:
        attacks, flips = asked.each()
    table, notes = ((), ()) if not flips else defended(
        subject, bound, plan, flips, defences, levels, lambda: to_numpy(influence.attribution.leverages())
    )  # fmt: skip
    return Audit(
        attacks=attacks,
        together=joints,
        fragile=asked.fragile(attacks, joints),
        defended=table,
        allowed=plan.allowed,
        bound=bound.said,
        within=bound.within.reshape(subject.inputs.shape),
        columns=subject.inputs.columns,
        kind=adapted.kind,
        measurement="margin" if adapted.classes else "prediction",
        unit=asked.unit,
        model_name=adapted.model_name,
        training_rows=len(influence.row_ids),
        how=asked.how,
        meaning=asked.meaning(together),
        notes=(*notes, *adapted.notes),
        refitter=refitter(subject, bound, influence),
    )


@dataclass(eq=False)
class _Asked:
    """One audit while it runs: what every row could do is summed on the way."""

    influence: Influence
    subject: Subject
    bound: Bounds
    plan: Plan
    x: Any
    y: Any
    effects: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        adapted = self.influence.adapted
        self.queries: Any = adapted.read_query(self.x)
        if not self.queries.rows:
            raise InputError("X_query has no rows. Give at least one.")
        self.z = self.subject.outputs(self.queries)
        self.says = says_there(self.influence, self.z)[0]
        self.targets: Any = None if self.y is None else adapted.read_target(self.y)
        if self.targets is not None and len(self.targets) != self.queries.rows:
            raise InputError(f"X_query has {self.queries.rows} rows and y_query {len(self.targets)}. Give one each.")
        if adapted.classes and self.targets is None:
            self.targets = adapted.read_target(np.asarray([adapted.classes[int(k)] for k in decided(self.z)]))
        named = "margin" if adapted.classes else "prediction"
        self.measured = measurement(
            named, self.subject.head.loss, bool(adapted.classes), adapted.has_probability, True, adapted.unit
        )
        self.unit = self.measured.unit
        self.labels = np.zeros(0, dtype=np.int64)
        if adapted.classes:
            self.labels = np.asarray(to_numpy(class_of(self.targets, self.z.shape[1])), dtype=np.int64)
            self.before = margins(self.z, self.labels)

    def each(self) -> tuple[tuple[Attack, ...], list[Flip]]:
        """Every prediction by itself."""
        attacks, flips = list[Attack](), list[Flip]()
        classes = self.influence.adapted.classes
        for i, label in enumerate(self.labels.tolist()):
            said, margin = plain(classes[label]), float(self.before[i])
            if margin < 0:
                note = f"it is {self.says[i]} already"
                attacks.append(
                    Attack(i, said, self.says[i], self.says[i], margin, margin, False, True, (), 0, 0.0, (), note)
                )
                continue
            goal = MarginOf(Subset(self.queries, np.asarray([i])), label)
            ranked = self._ranked(goal)
            found = search(self.subject, goal, self.bound, self.plan, ranked)
            flips.append(Flip(goal, found, ranked))
            then = says_there(self.influence, found.outputs)[0][0]
            after = goal.value(found.outputs)
            flipped = found.reached and found.converged
            attacks.append(self._attack(i, said, then, margin, after, flipped, found))
        return tuple(attacks), flips

    def joint(self) -> tuple[tuple[Joint, ...], list[Flip]]:
        """All of them at once, for each number of rows allowed; the last is what defences are tried on."""
        attacked = self.before >= 0
        if not attacked.any():
            raise InputError("no prediction is the label that y_query gives, so there is none to flip.")
        at = np.flatnonzero(attacked)
        goal = LossOfAll(Subset(self.queries, at), self.targets[at], self.subject.head.loss)
        ranked, start = self._ranked(goal), self.z[at]
        out, flips = list[Joint](), list[Flip]()
        for k in self.plan.allowed:
            found = search(self.subject, goal, self.bound, Plan((k,), self.plan.steps, self.plan.tries), ranked)
            flips = [Flip(goal, found, ranked)]
            after = margins(self.subject.outputs(self.queries, found.vector), self.labels)
            flipped = attacked & (after < 0) & found.converged
            out.append(Joint(
                self._altered(found), found.steps, attacked, self.before, after, flipped, -goal.value(start),
                -goal.value(found.outputs), found.converged, found.promised, self._ids(found.tried),
            ))  # fmt: skip
        return tuple(out), flips

    def moved(self, i: int) -> Attack:
        """How far a regression's prediction goes: away from the truth where that is given, else the easier way."""
        goal = ValueOf(Subset(self.queries, np.asarray([i])), self.measured, 1.0)
        now = goal.value(self.z[i : i + 1])
        if self.targets is not None:
            goal = goal if now < float(np.ravel(self.targets[i])[0]) else goal.other_way()
            ranked = self._ranked(goal)
        else:
            down, up = self._ranked(goal, keep=False), self._ranked(goal.other_way(), keep=False)
            k = max(self.plan.allowed)
            goal, ranked = (goal, down) if down.values[:k].sum() >= up.values[:k].sum() else (goal.other_way(), up)
            self._keep(ranked)
        most = Plan((max(self.plan.allowed),), self.plan.steps, self.plan.tries)
        found = search(self.subject, goal, self.bound, most, ranked)
        after = goal.sign * goal.value(found.outputs)
        return self._attack(i, None, plain(after), now, after, False, found)

    def fragile(self, attacks: Sequence[Attack], joints: Sequence[Joint]) -> tuple[FragileRow, ...]:
        """The rows by their summed effect; those that no derivative was asked of are left out."""
        changed, flips, labels = dict[Any, int](), dict[Any, int](), np.asarray(self.influence.adapted.labels)
        made = [(a.altered, int(a.flipped)) for a in attacks] + [(joint.altered, joint.flips) for joint in joints]
        for altered, flipped in made:
            for one in altered:
                changed[one.row] = changed.get(one.row, 0) + 1
                flips[one.row] = flips.get(one.row, 0) + flipped
        order = sorted(self.effects, key=lambda i: -self.effects[i])
        ids = self.influence.row_ids
        return tuple(
            FragileRow(ids[i], plain(labels[i]), self.effects[i], changed.get(ids[i], 0), flips.get(ids[i], 0))
            for i in order if self.effects[i] > 0
        )  # fmt: skip

    @property
    def how(self) -> str:
        """One sentence."""
        inputs: RowInputs = self.subject.inputs
        n, most = len(self.influence.row_ids), inputs.at_most
        among = "all rows" if most is None or most >= n else f"the {most:,} rows that pull most on what the head reads"
        alone = f"up to {self.plan.tries:,} rows tried alone; " if 1 in self.plan.allowed else ""
        return (
            f"rows chosen among {among} by what the derivative says they could do within the bound; {alone}"
            f"at most {self.plan.steps:,} sign steps of 1/{STEPS_TO_BOUND:.0f} of the bound, the model refitted after "
            "each by Newton steps; what is shown is a refit on the altered rows, to rounding"
        )

    def meaning(self, together: bool) -> str:
        """What the numbers are."""
        adapted = self.influence.adapted
        if not adapted.classes:
            what = f"The prediction, in {self.unit}, now"
        else:
            what = f"The margin of the label over the strongest other class, in {self.unit}, now"
        aim = "; all predictions are attacked by one change, which raises their mean loss" if together else ""
        return (
            f"{what} and after {adapted.model_name} was refitted on the training rows with a few of them changed{aim}; "
            f"labels stay; {adapted.convention}. That no flip was found proves nothing."
        )

    def _ranked(self, goal: Any, keep: bool = True) -> Gains:
        ranked = gains(self.subject, goal, self.bound)
        if keep:
            self._keep(ranked)
        return ranked

    def _keep(self, ranked: Gains) -> None:
        for i, value in zip(ranked.rows.tolist(), ranked.values.tolist(), strict=True):
            self.effects[i] = self.effects.get(i, 0.0) + value

    def _attack(
        self, i: int, label: Any, then: Any, before: float, after: float, flipped: bool, found: Found
    ) -> Attack:
        note = "" if len(found.rows) else "no row that may be changed moves it"
        return Attack(
            i, label, self.says[i], then, before, after, flipped, found.converged, self._altered(found), found.steps,
            found.promised, self._ids(found.tried), note,
        )  # fmt: skip

    def _altered(self, found: Found) -> Any:
        return altered_rows(self.subject, self.bound, self.influence, found.rows, found.cells)

    def _ids(self, at: NDArray[np.int64]) -> tuple[Any, ...]:
        return tuple(self.influence.row_ids[i] for i in at)


def _influence(model: Any, x: Any, y: Any) -> Influence:
    """Raises: InputError."""
    if isinstance(model, Influence):
        if x is not None or y is not None:
            raise InputError("an Influence knows its training rows: leave X and y out, and name X_query=.")
        return model
    if x is None or y is None:
        raise InputError("audit needs the rows that the model was fitted on: audit(model, X, y, X_query).")
    return Influence.from_sklearn(model, x, y)


def _plan(rows: Any, steps: Any, tries: Any) -> Plan:
    """Raises: InputError."""
    several = list(rows) if isinstance(rows, Sequence | np.ndarray | range) and not isinstance(rows, str) else [rows]
    for given, what in ((several, "rows"), ([steps], "steps"), ([tries], "tries")):
        wrong = [one for one in given if not isinstance(one, int | np.integer) or isinstance(one, bool) or one < 1]
        if wrong or not given:
            raise InputError(f"{what} is {listed(wrong) or 'empty'}. Give a whole number, 1 or more.")
    return Plan(tuple(sorted({int(one) for one in several})), int(steps), int(tries))


def _refuse_unknown(defences: Any, levels: Any) -> None:
    """Raises: InputError."""
    unknown = [name for name in defences if name not in DEFENCES] if not isinstance(defences, str) else [defences]
    if unknown:
        raise InputError(f"defences holds {listed(unknown)}. Give a list of {listed(tuple(DEFENCES), 9)}.")
    wrong = [one for one in levels if not isinstance(one, int | np.integer) or one < 1]
    if wrong:
        raise InputError(f"levels holds {listed(wrong)}. Give whole steps of the grid, 1 or more.")
