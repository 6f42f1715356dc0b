"""A letter for an answer, from cheap signals and, where there are any, real refits: a pure function, with reasons.

A: checked against refits and agrees. B: signals fine, not refitted. C: signs of trouble, ranks only. D: do not act.
Source: DESIGN.md 7. The thresholds are measured by `benchmarks/run.py grade`.
"""

from dataclasses import dataclass

from upweight.display.words import among, count, number, percent

__all__ = ["Agreement", "Grade", "Signals", "grade"]


@dataclass(frozen=True)
class Agreement:
    """Estimates beside real refits of the same rows. None: it could not be computed, and `absent` says why."""

    pearson: float | None
    spearman: float | None
    slope: float | None  # refit = slope × estimate, through the origin: 1 is right, > 1: the estimate is too small
    signs: float | None  # share of the refits that matter whose sign was estimated right
    rows: int  # that were really removed, one at a time
    absent: tuple[str, ...] = ()
    unfinished: int = 0  # refits that found no optimum
    shown_off: float | None = None  # |estimate − refit| / |refit|, the worst of the shown rows of high leverage; None:
    # not all of them were refitted
    convention_gap: float | None = None  # |our refit − the user's own solver| / effect, without a tenth of the rows
    own_noise: float = 0.0  # how far from the optimum that solver's tol lets it stop, in the unit of the gap


@dataclass(frozen=True)
class Signals:
    """What is known of an answer without asking the user anything."""

    mismatch: str | None = None  # not the rows, labels or weights the model was fitted on
    unconverged: str | None = None  # stopped before its optimum
    drift: float | None = None  # |measurement as fitted − at the optimum| / typical effect of a row shown; None: the
    # optimum was not found
    residual: float = 0.0  # largest relative residual of the solves
    tol: float = 1e-8
    solver_trouble: str | None = None  # the status text of a solve that did not converge
    reciprocal_condition: float | None = None
    leverage: float = 0.0  # largest among the rows that are shown
    quadratic: bool = False  # leverage is exact then
    alone: int = 0  # rows that alone hold a direction of θ which is measured
    separable: bool = False  # every row is fitted with near certainty: only the penalty holds θ
    damping_change: float | None = None  # relative change of the scores when damping doubles
    damping_halved: float | None = None  # the same when it halves
    missing: str | None = None  # values that could not be computed
    flat: bool = False  # derivatives of a loss that does not bend where its model does
    agreement: Agreement | None = None

    @property
    def damping_said(self) -> str:
        """What the damping decides, in words; "" without one."""
        if self.damping_change is None:
            return ""
        half = "" if self.damping_halved is None else f", half of it by {percent(self.damping_halved)}"
        return f"twice the damping changes the scores by {percent(self.damping_change)}{half}"


@dataclass(frozen=True)
class Grade:
    """`letter`, its reasons (the worst first), and what would raise it."""

    letter: str
    reasons: tuple[str, ...]
    would_raise: tuple[str, ...] = ()
    checked: bool = False

    def __str__(self) -> str:
        return self.letter


NEAR_SINGULAR = 1e-11  # past it a solve in float64 keeps fewer than five digits
HIGH_LEVERAGE, VERY_HIGH_LEVERAGE = 0.25, 0.5
DAMPING = 0.1
DRIFT_B, DRIFT_C = 0.3, 0.5
DRIFT_UNCONVERGED = 0.2  # the same for a fit that is known to have stopped early
SLOPE_A, RANK_A, SIGNS_A, ROW_A = 0.04, 0.96, 0.95, 0.10
SLOPE_B, RANK_B, SIGNS_B = 0.15, 0.90, 0.90
RANK_C, SIGNS_C = 0.50, 0.60
ROWS_A = 8  # fewer refits say little of the rest
CONVENTION, CONVENTION_D = 0.02, 0.5
LOOSE = 4.0  # a gap within so many times the solver's own noise is that noise
TOO_LOOSE = 0.1  # a solver that leaves so much says nothing of what a refit divides by

_READ = "read the refit column: it is a real removal"


def grade(signals: Signals) -> Grade:
    """The worst letter that any signal gives; A only where real refits agree."""
    found = [*_from_fit(signals), *_from_solve(signals), *_from_rows(signals)]
    if signals.agreement is not None:
        found += _from_agreement(signals.agreement)
    else:
        cure = "check it against real refits: influence.check"
        found.append(("B", "the signals are fine; nothing was refitted", cure))
    worst = max(letter for letter, _, _ in found)
    order = sorted(found, key=lambda item: item[0], reverse=True)
    reasons = tuple(reason for letter, reason, _ in order if letter == worst or letter in "ACD")
    would = tuple(dict.fromkeys(cure for letter, _, cure in order if cure and letter == worst))
    return Grade(worst, reasons, would, signals.agreement is not None)


_Finding = tuple[str, str, str]  # letter, reason, what would raise it


def _from_fit(s: Signals) -> list[_Finding]:
    out = []
    if s.mismatch:
        out.append(("D", s.mismatch, "give the rows, labels and weights that the model was fitted on"))
    out += _from_drift(s)
    if s.separable:
        reason = "every training row is fitted with near certainty: hardly more than the penalty holds the model"
        out.append(("C", reason, "a stronger penalty (smaller C, larger alpha)"))
    return out


def _from_drift(s: Signals) -> list[_Finding]:
    """How far the fit stands from the optimum that every answer starts from."""
    cure = "fit the model to its optimum: more steps, a smaller tol, scaled columns"
    if s.drift is None:
        return [("C", s.unconverged, cure)] if s.unconverged else []
    if s.drift > DRIFT_C or (s.unconverged and s.drift > DRIFT_UNCONVERGED):
        moved = f"taking it to its optimum moves what is measured by {percent(s.drift)} of the effect of a row shown"
        return [("C", f"{s.unconverged}; {moved}" if s.unconverged else moved, cure)]
    if s.drift > DRIFT_B:
        reason = f"the model as fitted is off its optimum by {percent(s.drift)} of the effect of a row shown"
        return [("B", reason, cure)]
    return []


def _from_solve(s: Signals) -> list[_Finding]:
    out = []
    if s.missing:
        out.append(("D", s.missing, "mend what is named there"))
    if s.solver_trouble:
        cure = "use solver='cholesky', or mend what it names"
        out.append(("D", f"a solve did not finish: {s.solver_trouble}", cure))
    elif s.residual > s.tol:
        out.append(("C", f"the solves left a relative residual of {s.residual:.0e}", "a smaller tol"))
    if s.flat:
        reason = "the loss does not bend between its kinks, so that sizes are far too large and ranks are rough"
        out.append(("C", reason, "smoothing > 0, or the exact removals of scores(removal='leverage')"))
    if s.reciprocal_condition is not None and s.reciprocal_condition < NEAR_SINGULAR:
        size = f"{s.reciprocal_condition:.0e}" if s.reciprocal_condition > 0 else "below rounding"
        reason = f"the curvature is nearly singular (reciprocal condition {size})"
        out.append(("C", reason, "drop collinear columns, scale the columns, or add a penalty"))
    if max(s.damping_change or 0.0, s.damping_halved or 0.0) > DAMPING:
        out.append(("C", s.damping_said, "a check against refits, which says which damping is right"))
    return out


def _from_rows(s: Signals) -> list[_Finding]:
    if s.alone:
        holds = f"{count(s.alone, 'row')} alone {'holds' if s.alone == 1 else 'hold'} a direction of the model"
        reason = f"{holds} that this measurement reads: without it there is no optimum, and the score reads 0"
        return [("C", reason, "add a penalty, or merge rare categories")]
    if s.quadratic or s.leverage <= HIGH_LEVERAGE:
        return []
    bends = f"a row shown has leverage {number(s.leverage, decimals=2)}, and the model bends while such a row leaves"
    off = None if s.agreement is None else s.agreement.shown_off
    if off is None:
        return [("C" if s.leverage > VERY_HIGH_LEVERAGE else "B", bends, _READ)]
    if off <= ROW_A:
        return []
    return [("B", f"{bends}: refitted, its effect is off by {percent(off)}", _READ)]


def _from_agreement(a: Agreement) -> list[_Finding]:
    out: list[_Finding] = []
    if a.unfinished:
        out.append(("C", f"{count(a.unfinished, 'refit')} found no optimum", "add a penalty"))
    firm = a.own_noise <= TOO_LOOSE
    if firm and a.convention_gap is not None and a.convention_gap > max(CONVENTION, LOOSE * a.own_noise):
        gap = percent(a.convention_gap)
        reason = f"without a tenth of the rows the model's own solver is {gap} of the effect away from our refit"
        cure = "report this model: its penalty or its normalisation was read wrongly"
        out.append(("D" if a.convention_gap > CONVENTION_D else "C", reason, cure))
    if a.spearman is None or a.slope is None or a.signs is None:
        why = among(a.absent) if a.absent else "too few refits"
        out.append(("B", f"estimates and refits could not be compared: {why}", "check other queries, or more rows"))
        return out
    out.append(_ladder(a, a.spearman, a.slope, a.signs))
    if a.rows < ROWS_A:
        out.append(("B", f"only {count(a.rows, 'row')} could be refitted", "check more rows"))
    return out


def _ladder(a: Agreement, rank: float, slope: float, signs: float) -> _Finding:
    off = abs(slope - 1.0)
    said = (
        f"rank correlation {number(rank, decimals=3)}, real effect {number(slope, decimals=2)} times the estimate, "
        f"sign right in {percent(signs)}"
    )
    if off <= SLOPE_A and rank >= RANK_A and signs >= SIGNS_A:
        return "A", "signs, ranking and sizes agree with refits", ""
    if off <= SLOPE_B and rank >= RANK_B and signs >= SIGNS_B:
        return "B", f"refits agree, but less closely than an A asks: {said}", _READ
    if rank >= RANK_C and signs >= SIGNS_C:
        return "C", f"refits agree in rank only: {said}", _READ
    return "D", f"refits disagree: {said}", "read the refit column; a stronger penalty makes estimates closer"
