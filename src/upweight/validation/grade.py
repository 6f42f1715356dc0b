"""A letter for an answer, from cheap signals and, where there are any, from real refits: a pure function, with reasons.

A checked against refits and agrees · B signals fine, not refitted · C signs of trouble, ranks only · D do not act on it.
Source: DESIGN.md 7. The thresholds are measured by `benchmarks/run.py grade`.
"""

from dataclasses import dataclass

__all__ = ["Agreement", "Grade", "Signals", "grade"]


@dataclass(frozen=True)
class Agreement:
    """Estimates beside real refits of the same rows."""

    pearson: float
    spearman: float
    slope: float  # refit = slope × estimate, through the origin: 1 is right, > 1: the estimate is too small
    signs: float  # share of refits above the noise whose sign was estimated right
    pairs: int
    unfinished: int = 0  # refits that found no optimum
    convention_gap: float | None = None  # |warm − the user's own solver| / size, on a group: what a refit divides by
    noise: float = 0.0  # how much two refits of the same data differ, beside the typical refit effect


@dataclass(frozen=True)
class Signals:
    """What is known of an answer without asking the user anything."""

    mismatch: str | None = None  # not the rows, labels or weights the model was fitted on
    unconverged: str | None = None  # stopped before its optimum, and not polished
    polished: str | None = None  # moved to the optimum first, visibly
    residual: float = 0.0  # largest relative residual of the solves
    tol: float = 1e-8
    solver_trouble: str | None = None  # the status text of a solve that did not converge
    reciprocal_condition: float | None = None
    leverage: float = 0.0  # largest among the rows that are shown
    quadratic: bool = False  # leverage is exact then
    alone: int = 0  # rows shown that alone hold a direction of θ
    separable: bool = False  # every row is on its side and hardly any penalty stands against infinity
    damping_change: float | None = None  # relative change of the top scores when damping doubles
    missing: str | None = None  # values that could not be computed
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Grade:
    """`letter`, its reasons (the worst first), and what would raise it."""

    letter: str
    reasons: tuple[str, ...]
    would_raise: tuple[str, ...] = ()
    checked: bool = False

    def __str__(self) -> str:
        return self.letter


NEAR_SINGULAR = 1e-11
HIGH_LEVERAGE = 0.5
SLOPE_A, RANK_A, SIGNS_A = 0.04, 0.96, 0.95
SLOPE_B, RANK_B, SIGNS_B = 0.15, 0.90, 0.90
RANK_C, SIGNS_C = 0.50, 0.60
CONVENTION = 0.05


def grade(signals: Signals) -> Grade:
    """The worst letter that any signal gives; A only where refits agree."""
    found = [*_from_fit(signals), *_from_solve(signals), *_from_rows(signals)]
    agreement = signals.agreement
    if agreement is not None:
        found += _from_agreement(agreement)
    else:
        found.append(
            ("B", "the signals are fine; nothing was refitted", "check it against real refits: influence.check")
        )
    worst = max(letter for letter, _, _ in found)
    order = sorted(found, key=lambda item: item[0], reverse=True)
    reasons = tuple(reason for letter, reason, _ in order if letter == worst or letter in "CD" or letter == "A")
    would = tuple(dict.fromkeys(cure for letter, _, cure in order if cure and letter == worst))
    return Grade(worst, reasons, would, agreement is not None)


_Finding = tuple[str, str, str]  # letter, reason, what would raise it


def _from_fit(s: Signals) -> list[_Finding]:
    out = []
    if s.mismatch:
        out.append(("D", s.mismatch, "give the rows, labels and weights that the model was fitted on"))
    if s.unconverged:
        out.append(("C", s.unconverged, "fit the model to its optimum: more steps, a smaller tol, scaled columns"))
    if s.separable:
        cure = "add a penalty (smaller C, larger alpha), or explain the margin"
        out.append(("C", "every training row is on its side and the penalty is too small to hold the fit", cure))
    return out


def _from_solve(s: Signals) -> list[_Finding]:
    out = []
    if s.missing:
        out.append(("D", s.missing, "mend what is named there"))
    if s.solver_trouble:
        out.append(("D", f"a solve did not finish: {s.solver_trouble}", "use solver='cholesky', or mend what it names"))
    elif s.residual > s.tol:
        out.append(("C", f"the solves left a relative residual of {s.residual:.0e}", "a smaller tol"))
    if s.reciprocal_condition is not None and s.reciprocal_condition < NEAR_SINGULAR:
        reason = f"the curvature is nearly singular (reciprocal condition {s.reciprocal_condition:.0e})"
        out.append(("C", reason, "drop collinear columns, scale the columns, or add a penalty"))
    if s.damping_change is not None and s.damping_change > 0.1:
        reason = f"twice the damping changes the scores by {s.damping_change:.0%}"
        out.append(("C", reason, "a smaller damping"))
    return out


def _from_rows(s: Signals) -> list[_Finding]:
    if s.alone:
        reason = f"{s.alone} of the rows shown alone hold a direction of the model: without one there is no optimum"
        return [("C", reason, "add a penalty, or merge rare categories")]
    if s.leverage > HIGH_LEVERAGE and not s.quadratic:
        reason = f"a row shown has leverage {s.leverage:.2f}: the model bends too much without it for one Newton step"
        return [("C", reason, "read the refit column: it is a real removal")]
    return []


def _from_agreement(a: Agreement) -> list[_Finding]:
    out: list[_Finding] = []
    if a.unfinished:
        out.append(("C", f"{a.unfinished} of the refits found no optimum", "add a penalty"))
    if a.convention_gap is not None and a.convention_gap > CONVENTION:
        reason = f"the model's own solver disagrees with our refits by {a.convention_gap:.0%} of the effect"
        out.append(
            ("D" if a.convention_gap > 0.5 else "C", reason, "report this model: its objective was read wrongly")
        )
    if a.pairs < 3:
        out.append(("B", f"only {a.pairs} refits could be compared", "check more rows"))
        return out
    off = abs(a.slope - 1.0)
    facts = f"correlation {a.pearson:.3f}, real effect {a.slope:.2f} times the estimate, sign right in {a.signs:.0%}"
    if off <= SLOPE_A and a.spearman >= RANK_A and a.signs >= SIGNS_A:
        out.append(("A", "signs, ranking and sizes agree with refits", ""))
    elif off <= SLOPE_B and a.spearman >= RANK_B and a.signs >= SIGNS_B:
        out.append(("B", f"refits agree in sign and rank, less in size: {facts}", "read the refit column"))
    elif a.spearman >= RANK_C and a.signs >= SIGNS_C:
        out.append(("C", f"refits agree in rank only: {facts}", "read the refit column: it is a real removal"))
    else:
        out.append(
            ("D", f"refits disagree: {facts}", "read the refit column; a stronger penalty makes estimates closer")
        )
    if a.noise > 0.2:
        reason = f"two refits of the same data differ by {a.noise:.0%} of a typical effect"
        out.append(("B", reason, "a smaller tol of the model's solver"))
    return out
