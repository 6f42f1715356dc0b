"""The grade from both sides: as a pure table, and end to end on models whose grade is known beforehand."""

import warnings
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier

from tests.validation.cases import FAILURES, HEALTHY, WRONG_NORMALISATIONS, classes, election
from upweight import Influence, questions
from upweight.validation.grade import Agreement, Signals, grade

GOOD = Agreement(pearson=1.0, spearman=0.999, slope=1.001, signs=1.0, rows=24, convention_gap=1e-4)
BAD_SIZE = replace(GOOD, slope=1.3)

TABLE = [
    ("nothing wrong, not refitted", Signals(), "B"),
    ("nothing wrong, refits agree", Signals(agreement=GOOD), "A"),
    ("mismatch", Signals(mismatch="not the rows it was fitted on", agreement=GOOD), "D"),
    ("unconverged, no optimum found", Signals(unconverged="ran out of steps", drift=None, agreement=GOOD), "C"),
    ("unconverged, and far from its optimum", Signals(unconverged="ran out of steps", drift=0.3, agreement=GOOD), "C"),
    ("stopped early, but there", Signals(unconverged="SGD stops by its own steps", drift=0.01, agreement=GOOD), "A"),
    ("a little off its optimum", Signals(drift=0.4, agreement=GOOD), "B"),
    ("far off its optimum", Signals(drift=0.6, agreement=GOOD), "C"),
    ("separable", Signals(separable=True, agreement=GOOD), "C"),
    ("derivatives of a loss that does not bend", Signals(flat=True, agreement=GOOD), "C"),
    ("a residual is left", Signals(residual=1e-3, tol=1e-6, agreement=GOOD), "C"),
    ("a solve failed", Signals(solver_trouble="the curvature bends down", agreement=GOOD), "D"),
    ("nearly singular", Signals(reciprocal_condition=1e-13, agreement=GOOD), "C"),
    ("ill-conditioned, not singular", Signals(reciprocal_condition=1e-9, agreement=GOOD), "A"),
    ("damping decides", Signals(damping_change=0.4, agreement=GOOD), "C"),
    ("damping does little", Signals(damping_change=0.01, agreement=GOOD), "A"),
    ("scores that overflowed", Signals(missing="3 scores overflowed", agreement=GOOD), "D"),
    ("a row alone holds a direction", Signals(alone=1, agreement=GOOD), "C"),
    ("leverage 0.1", Signals(leverage=0.1, agreement=GOOD), "A"),
    ("leverage 0.27", Signals(leverage=0.27, agreement=GOOD), "B"),
    ("leverage 0.27, its row refitted and off", Signals(leverage=0.27, agreement=replace(GOOD, shown_off=0.4)), "B"),
    ("leverage 0.33, its row refitted and right", Signals(leverage=0.33, agreement=replace(GOOD, shown_off=0.01)), "A"),
    ("leverage 0.6, not refitted", Signals(leverage=0.6), "C"),
    ("leverage 0.6, its row not refitted", Signals(leverage=0.6, agreement=GOOD), "C"),
    ("leverage 0.95, quadratic", Signals(leverage=0.95, quadratic=True, agreement=GOOD), "A"),
    ("a size off by 4.5 %", Signals(agreement=replace(GOOD, slope=1.045)), "B"),
    ("an estimate too large by 4.5 %", Signals(agreement=replace(GOOD, slope=0.955)), "B"),
    ("ranks at 0.94", Signals(agreement=replace(GOOD, spearman=0.94)), "B"),
    ("a tenth of the signs wrong", Signals(agreement=replace(GOOD, signs=0.91)), "B"),
    ("sizes wrong", Signals(agreement=BAD_SIZE), "C"),
    ("no agreement", Signals(agreement=replace(GOOD, spearman=0.2)), "D"),
    ("signs at chance", Signals(agreement=replace(GOOD, signs=0.5)), "D"),
    ("refits without an optimum", Signals(agreement=replace(GOOD, unfinished=2)), "C"),
    ("own solver elsewhere", Signals(agreement=replace(GOOD, convention_gap=0.2)), "C"),
    ("own solver far elsewhere", Signals(agreement=replace(GOOD, convention_gap=0.8)), "D"),
    ("own solver loose", Signals(agreement=replace(GOOD, convention_gap=0.2, own_noise=0.08)), "A"),
    ("own solver too loose to tell", Signals(agreement=replace(GOOD, convention_gap=3.0, own_noise=0.5)), "A"),
    ("own solver not run", Signals(agreement=replace(GOOD, convention_gap=None)), "A"),
    ("few rows", Signals(agreement=replace(GOOD, rows=7)), "B"),
    ("no spread", Signals(agreement=replace(GOOD, spearman=None, absent=("the refits do not differ",))), "B"),
    ("all refits are noise", Signals(agreement=replace(GOOD, signs=None, absent=("no refit above the noise",))), "B"),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.parametrize(("signals", "letter"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_signals_to_letter(signals: Signals, letter: str) -> None:
    """Each signal alone, beside refits that agree, takes the grade where the table says; again: the same."""
    found = grade(signals)
    assert found.letter == letter == str(found)
    assert found == grade(signals)
    assert found.checked == (signals.agreement is not None)
    assert found.reasons
    assert all("nan" not in reason.lower().split() for reason in found.reasons)
    assert bool(found.would_raise) == (letter != "A")


@pytest.mark.parametrize("name", ["mismatch", "separable", "missing", "solver_trouble", "alone"])
def test_no_agreement_outweighs_a_failure(name: str) -> None:
    """A bad signal is not voted down: adding any other bad one never raises the letter."""
    value = {"separable": True, "alone": 2}.get(name, "said so")
    alone = grade(replace(Signals(agreement=GOOD), **{name: value})).letter
    both = grade(replace(Signals(agreement=BAD_SIZE, residual=1.0), **{name: value})).letter
    assert both >= alone > "B"


def test_reasons_are_worst_first_and_name_their_cure() -> None:
    """D before C, each with its own sentence; what would raise it speaks of the worst alone."""
    found = grade(Signals(mismatch="other rows", separable=True, agreement=GOOD))
    assert found.letter == "D"
    assert found.reasons[0] == "other rows"
    assert "penalty" in found.reasons[1]
    assert found.would_raise == ("give the rows, labels and weights that the model was fitted on",)


def test_signals_are_frozen() -> None:
    """Nothing changes a signal once it is there."""
    with pytest.raises(FrozenInstanceError):
        Signals().leverage = 1.0  # type: ignore[misc]


def test_there_are_twenty_healthy_problems() -> None:
    """As many as were promised."""
    assert len(HEALTHY) == 20


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_problem(name: str) -> None:
    """B before the check and A after it: quadratic losses at any leverage, others with leverage below 0.1."""
    asked = HEALTHY[name]()
    head, leverage = asked.influence.adapted.objective, float(np.max(asked.influence.attribution.leverage.h))
    assert asked.letters() == ("B", "A")
    assert head.loss.concordance == 0.0 or leverage < 0.1
    if "0.9" in name:
        assert leverage > 0.9


@pytest.mark.parametrize("name", FAILURES)
def test_failure(name: str) -> None:
    """No A and no B, neither before the check nor after it."""
    before, after = FAILURES[name]().letters()
    assert before in ("C", "D")
    assert after in ("C", "D")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unconverged", "limit of 3 steps"),
        ("separable, C = 10,000", "near certainty"),
        ("wrong weights", "not the rows, labels or weights"),
        ("wrong labels", "not the rows, labels or weights"),
        ("near-singular", "nearly singular"),
        ("one row holds a direction", "1 row alone holds a direction"),
    ],
)
def test_failure_is_named(name: str, reason: str) -> None:
    """The reason says what is wrong."""
    asked = FAILURES[name]()
    assert reason in " ".join(asked.influence.scores(asked.x, asked.y).grade.reasons)


@pytest.mark.parametrize("name", WRONG_NORMALISATIONS)
def test_wrong_normalisation(name: str) -> None:
    """Estimates and our refits share the mistake and agree; the model's own solver gives it away."""
    asked = WRONG_NORMALISATIONS[name]()
    check = asked.influence.check(asked.x, asked.y)
    assert check.slope == pytest.approx(1.0, abs=0.05)
    assert check.grade.letter in ("C", "D")
    assert "own solver" in " ".join(check.grade.reasons)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(tol=1e-2),
        LogisticRegression(solver="sag", random_state=0),
        LogisticRegression(solver="saga", random_state=0, max_iter=20),
        SGDClassifier(loss="log_loss", alpha=0.01, random_state=0),
        SGDClassifier(loss="log_loss", alpha=0.01, random_state=0, average=True),
    ],
    ids=["lbfgs", "sag", "saga", "sgd", "averaged sgd"],
)
def test_loose_solver_is_not_called_a_wrong_normalisation(estimator: object) -> None:
    """What the solver's own noise explains is no sign of another objective."""
    asked = classes(estimator, 30)
    assert "own solver" not in " ".join(asked.influence.check(asked.x, asked.y).grade.reasons)


def test_digits_at_the_default_penalty_are_not_separable() -> None:
    """Nearly every digit is read right at C = 1, yet the penalty holds the fit: no such reason is given."""
    x, y = load_digits(return_X_y=True)
    x = x / 16.0
    model = LogisticRegression().fit(x[:500], y[:500])
    assert model.score(x[:500], y[:500]) > 0.98
    scores = Influence.from_sklearn(model, x[:500], y[:500]).scores(x[500:502], y[500:502])
    assert "certainty" not in " ".join(scores.grade.reasons)


def test_election_table() -> None:
    """DATA.md 4: row 1 has leverage 0.27; first order +0.74, leverage-corrected +1.03, really +1.77: no A."""
    asked = election()
    influence = asked.influence
    at, other = influence.row_ids.index(1), influence.row_ids.index(551)
    first = influence.scores(asked.x, asked.y, removal="first_order").values[0]
    scores = influence.scores(asked.x, asked.y)
    linear = influence.scores(asked.x, asked.y, measurement="margin").values[0]
    real = questions.ask(influence.adapted, influence.attribution, asked.x, asked.y, "loss").refits([at, other])[:, 0]
    assert influence.attribution.leverage_of([at]) == pytest.approx(0.266, abs=1e-3)
    assert first[[at, other]] == pytest.approx([0.740, -0.360], abs=1e-3)
    assert scores.values[0, [at, other]] == pytest.approx([1.029, -0.483], abs=1e-3)
    slope = 1.0 - np.exp(-scores.base[0])  # d loss / d(−margin): what the loss linearised makes of the same removal
    assert -slope * linear[at] == pytest.approx(1.01, abs=5e-3)
    assert real == pytest.approx([1.777, -0.429], abs=1e-3)
    check = influence.check(asked.x, asked.y)
    assert scores.grade.letter != "A"
    assert check.grade.letter not in ("A", "B")
    assert check.slope > 1.3
