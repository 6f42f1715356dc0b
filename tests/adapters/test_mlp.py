"""Perceptrons: the objective that scikit-learn follows, the user's own words, and what each training answers."""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.optimize import minimize
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from upweight import Influence
from upweight.adapters import NETWORKS, Adapted, adapt
from upweight.errors import InputError, MissingExtra, UnsupportedModel
from upweight.removal.network_refit import refit_network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 60, 3
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, D))
CODES = np.argmax(1.5 * X @ RNG.normal(size=(D, 3)) + RNG.gumbel(size=(N, 3)), axis=1)
NUMBERS = np.tanh(X @ RNG.normal(size=(D, 2))) + 0.3 * RNG.normal(size=(N, 2))
COUNTS = RNG.poisson(np.exp(0.5 * X[:, 0] + 0.3)).astype(float)
WEIGHTS = RNG.integers(1, 4, size=N).astype(float)

KINDS: dict[str, tuple[Callable[..., Any], Any]] = {
    "binary": (MLPClassifier, np.array(["no", "yes"])[(CODES > 0).astype(int)]),
    "multiclass": (MLPClassifier, np.array(["ape", "bee", "cat"])[CODES]),
    "regression": (MLPRegressor, NUMBERS[:, 0]),
    "multi-output": (MLPRegressor, NUMBERS),
    "poisson": (lambda **own: MLPRegressor(loss="poisson", **own), COUNTS),
}
SOLVERS: dict[str, dict[str, Any]] = {
    "lbfgs": {"max_iter": 5000, "tol": 1e-10},
    "adam": {"max_iter": 20, "learning_rate_init": 0.02},
    "sgd": {"max_iter": 20, "learning_rate_init": 0.02},
}


@dataclass(frozen=True)
class Case:
    """One network of four hidden units and what it is fitted on."""

    kind: str
    solver: str
    activation: str = "tanh"

    @property
    def y(self) -> Any:
        """The user's labels."""
        return KINDS[self.kind][1]

    def make(self, **more: Any) -> Any:
        """Not fitted."""
        own = {"hidden_layer_sizes": (4,), "alpha": 0.5, "random_state": 0, **SOLVERS[self.solver], **more}
        return KINDS[self.kind][0](activation=self.activation, solver=self.solver, **own)

    def fit(self, weighted: bool = False, **more: Any) -> Any:
        """Fitted."""
        return self.make(**more).fit(X, self.y, sample_weight=WEIGHTS if weighted else None)


CASES = [
    Case(kind, solver, activation)
    for kind in KINDS
    for solver in SOLVERS
    for activation in ("relu", "tanh", "logistic", "identity")
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.kind} {c.solver} {c.activation}")
SMOOTH = [Case("binary", "lbfgs"), Case("multiclass", "lbfgs"), Case("regression", "lbfgs"), Case("poisson", "lbfgs")]


@cache
def fitted(case: Case, weighted: bool = False) -> tuple[Any, Adapted]:
    """One fit for all tests of a case."""
    model = case.fit(weighted)
    return model, adapt(model, X, case.y, WEIGHTS if weighted else None)


@cache
def influence(case: Case) -> Influence:
    """The same, ready for questions."""
    return Influence.from_sklearn(fitted(case)[0], X, case.y)


def own_gradient(model: Any, x: Any, y: Any, weights: Any = None) -> tuple[float, Any]:
    """scikit-learn's loss and gradient on these rows, in the order of a torch module's parameters."""
    encoded = model._label_binarizer.transform(y).astype(float) if hasattr(model, "_label_binarizer") else y
    encoded = np.reshape(encoded, (len(y), -1))
    layers = len(model.coefs_)
    gradients = [np.empty_like(w) for w in model.coefs_], [np.empty_like(b) for b in model.intercepts_]
    loss, w, b = model._backprop(x, encoded, weights, [x, *[None] * layers], [None] * layers, *gradients)
    return loss, np.concatenate([np.concatenate([w[k].T.ravel(), b[k]]) for k in range(layers)])


def at_user(adapted: Adapted) -> Any:
    """The network where the user's own training left it."""
    return adapted.objective.at(torch.as_tensor(adapted.fitted))


def of_module(adapted: Adapted, network: Any, x: Any) -> Any:
    """What the outputs say, in the user's form."""
    z = network.outputs(network.vector, torch.as_tensor(x)).detach().numpy()
    loss = adapted.attribution(network, "auto", 0.0).loss
    return loss.predict(z)


def own_predictions(model: Any, x: Any, shape: Any) -> Any:
    """What the estimator says."""
    if hasattr(model, "predict_proba"):
        said = model.predict_proba(x)
        return said[:, 1:] if shape[1] == 1 else said
    return np.reshape(model.predict(x), shape)


@EVERY
def test_outputs_are_the_estimators_own(case: Case) -> None:
    """predict_proba, else predict, from the module's outputs, on rows that it has seen and others."""
    model, adapted = fitted(case)
    x = np.concatenate([X, 2.0 * X[::-1] - 0.3])
    said = of_module(adapted, at_user(adapted), x)
    np.testing.assert_allclose(said, own_predictions(model, x, said.shape), rtol=1e-12, atol=1e-14)


@EVERY
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_gradient_is_the_one_that_scikit_learn_follows(case: Case, weighted: bool) -> None:
    """∇F, and F but for outputs that scikit-learn averages, are _backprop's on all rows, up to Σw / n."""
    model, adapted = fitted(case, weighted)
    weights = WEIGHTS if weighted else None
    loss, gradient = own_gradient(copy.deepcopy(model), X, case.y, weights)
    factor = 1.0 if weights is None else weights.sum() / N
    network = at_user(adapted)
    np.testing.assert_allclose(network.gradient, factor * gradient, rtol=1e-10, atol=1e-14)
    if case.kind != "multi-output":
        assert network.value == pytest.approx(factor * loss, rel=1e-12)
    assert (network.normalization, adapted.stationarity.mismatch) == ("sum", None)
    if case.solver == "lbfgs" and case.activation in ("tanh", "logistic"):  # others have kinks, or flat directions
        if case.kind != "multi-output":
            assert float(network.gradient.abs().max()) < 1e-3  # it stops once its loss hardly falls
        assert float(adapted.objective.gradient.abs().max()) < 1e-7
        assert adapted.stationarity.polished
    if case.solver != "lbfgs":
        assert not adapted.stationarity.polished


def test_batches_are_penalised_as_their_rows_are_counted() -> None:
    """Over all rotations of the rows a pass's mean step is ∇F: λ is α times the mean of 1 / rows over batches."""
    case = Case("multiclass", "adam")
    model = case.fit(batch_size=25)
    steps = []
    for turn in range(N):
        order = np.roll(np.arange(N), turn)
        steps += [own_gradient(copy.deepcopy(model), X[at], case.y[at])[1] for at in np.split(order, [25, 50])]
    adapted = adapt(model, X, case.y)
    np.testing.assert_allclose(adapted.objective.gradient, np.mean(steps, axis=0), rtol=1e-9, atol=1e-12)
    assert "in each batch" in adapted.convention
    assert float(adapted.objective.penalty.max()) == pytest.approx(0.5 * np.mean([1 / 25, 1 / 25, 1 / 10]))
    assert float(adapted.objective.penalty.min()) == 0.0


@pytest.mark.parametrize("solver", SOLVERS)
def test_weight_0_is_a_removed_row_in_the_estimators_own_fit(solver: str) -> None:
    """In one batch, from one start: what refits are made of. Weight 2 is a second copy."""
    case = Case("multiclass", solver)
    train = adapt(case.fit(), X, case.y).attribution(fitted(case)[1].objective, "auto", 0.0).refitter.train
    weights = torch.ones(N, dtype=torch.float64)
    weights[7], weights[8] = 0.0, 2.0
    kept = [*range(7), 8, *range(8, N)]
    other = case.make().fit(X[kept], case.y[kept])
    module = train(weights, 5)
    np.testing.assert_allclose(module[0].weight.detach().numpy().T, other.coefs_[0], atol=1e-5)
    np.testing.assert_allclose(module[2].bias.detach().numpy(), other.intercepts_[1], atol=1e-5)


@EVERY
def test_rebuilt_estimator_predicts_as_the_network(case: Case) -> None:
    """A moved θ goes back into the user's own class, and the user's object stays as it was."""
    model, adapted = fitted(case)
    before = own_predictions(model, X, (N, -1)).copy()
    draws = torch.as_tensor(np.random.default_rng(1).normal(size=adapted.objective.size))
    moved = adapted.objective.at(adapted.objective.vector + 0.05 * draws)
    again = adapted.rebuild(moved.values)
    assert type(again) is type(model)
    assert np.isnan(again.loss_)  # no training of its own ended there
    said = of_module(adapted, moved, X)
    np.testing.assert_allclose(own_predictions(again, X, said.shape), said, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(own_predictions(model, X, (N, -1)), before)


# -- answers ---------------------------------------------------------------------------------------------------------


def refit(model: Any, y: Any, weights: Any) -> Any:
    """The minimum near the fitted parameters, by BFGS on scikit-learn's own loss and gradient."""
    there = copy.deepcopy(model)
    encoded = there._label_binarizer.transform(y).astype(float) if hasattr(there, "_label_binarizer") else y
    encoded, layers = np.reshape(encoded, (len(y), -1)), len(there.coefs_)
    room = [np.empty_like(w) for w in there.coefs_], [np.empty_like(b) for b in there.intercepts_]
    rest = X, encoded, weights, [X, *[None] * layers], [None] * layers, *room
    start = np.concatenate([part.ravel() for part in (*there.coefs_, *there.intercepts_)])
    for _ in range(2):  # each begins with a fresh curvature
        found = minimize(there._loss_grad_lbfgs, start, args=rest, jac=True, method="BFGS", options={"gtol": 1e-11})
        start = found.x
    there._unpack(start)
    return there


def losses(model: Any, x: Any, y: Any) -> Any:
    """Each row's own, by the estimator's predictions."""
    if hasattr(model, "predict_proba"):
        at = np.searchsorted(model.classes_, y)
        return -np.log(model.predict_proba(x)[np.arange(len(y)), at])
    mean = model.predict(x)
    if model.loss == "poisson":
        return np.where(y > 0, y * np.log(np.maximum(y, 1) / mean), 0.0) - y + mean
    return 0.5 * (mean - y) ** 2


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c.kind)
def test_scores_are_those_of_refits_at_a_minimum(case: Case) -> None:
    """The first order is the derivative in the weight, the refit a removal, the estimate nearer to it."""
    model, found = fitted(case)[0], influence(case)
    assert found.attribution.counterfactual == "optimum"
    x, y = 0.8 * X[:4] + 0.1, case.y[:4]
    first, whole = found.scores(x, y, removal="first_order").values, found.scores(x, y)
    best = losses(refit(model, case.y, np.ones(N)), x, y)
    for row in (3, 41):
        up, down = np.ones(N), np.ones(N)
        up[row], down[row] = 1.02, 0.98
        slope = (losses(refit(model, case.y, up), x, y) - losses(refit(model, case.y, down), x, y)) / 0.04
        size = np.abs(first).max()
        np.testing.assert_allclose(first[:, row], -slope, atol=2e-3 * size)
        gone = np.ones(N)
        gone[row] = 0.0
        truth = losses(refit(model, case.y, gone), x, y) - best
        assert whole.refitter is not None
        np.testing.assert_allclose(whole.refitter([row])[0], truth, atol=1e-5 * size)
    rows = list(range(0, N, 3))
    truths = whole.refitter(rows).T
    plain, best_guess = (np.median(np.abs(s[:, rows] - truths) / np.abs(truths)) for s in (first, whole.values))
    assert best_guess < min(plain, 0.35)


def test_damping_0_is_the_rule_of_networks() -> None:
    """Not no damping: a network that is not at a minimum has none without it."""
    case = Case("multiclass", "adam")
    zero, auto = (Influence(fitted(case)[1], damping=damping) for damping in (0.0, "auto"))
    assert zero.attribution.damping == auto.attribution.damping > 0.0
    assert Influence.from_sklearn(case.fit(), X, case.y, damping=0.5).attribution.damping == 0.5
    assert zero.attribution.counterfactual == "proximal"


@pytest.mark.parametrize(
    ("case", "more", "said"),
    [
        (Case("regression", "lbfgs"), {}, "optimum: "),
        (Case("multiclass", "adam"), {}, "same_init: train gives this model again"),
        (Case("binary", "sgd"), {"batch_size": 25}, "same_init: train gives this model again"),
        (Case("multiclass", "adam"), {"random_state": None}, "new_init: train does not give this model again"),
        (Case("multiclass", "adam"), {"early_stopping": True}, "same_init: train gives this model again"),
    ],
    ids=["lbfgs", "adam", "sgd in batches", "no random_state", "early stopping"],
)
def test_check_names_the_counterfactual(case: Case, more: dict[str, Any], said: str) -> None:
    """What its refits are: the next minimum, the same start, or another."""
    found = Influence.from_sklearn(case.fit(**more), X, case.y)
    checked = found.check(X[:3], case.y[:3], rows=6)
    assert str(checked.noise.reason).startswith(said)
    assert np.isfinite(checked.refit).all()
    assert checked.unfinished == 0
    if said == "optimum: ":
        assert checked.comparison.pearson > 0.95


def test_refits_say_nothing_that_the_fit_has_said(recwarn: pytest.WarningsRecorder, capsys: Any) -> None:
    """A training that runs out of steps warns once, at the user's own fit; verbose is the user's, too."""
    case = Case("regression", "adam")
    model = case.fit(verbose=True)
    capsys.readouterr()
    recwarn.clear()
    found = Influence.from_sklearn(model, X, case.y)
    assert found.without([3]).model.verbose is True
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]
    assert capsys.readouterr().out == ""
    assert any("step limit (max_iter=20)" in note for note in found.adapted.notes)


def test_without_trains_the_estimator_again() -> None:
    """adam: the user's own fit with the row's weight 0, in the user's own class."""
    case = Case("multiclass", "adam")
    found = influence(case)
    weights = np.ones(N)
    weights[3] = 0.0
    truth = case.make().fit(X, case.y, sample_weight=weights)
    np.testing.assert_allclose(found.without([3]).model.predict_proba(X), truth.predict_proba(X), rtol=1e-10)


# -- the user's own words --------------------------------------------------------------------------------------------

IDS = [f"p{i}" for i in range(N)]
TABLE = pd.DataFrame(
    {"age": 40 + 12 * X[:, 0], "town": np.array(["Bern", "Oslo", "Rome"])[CODES], "income": 1e4 * (X[:, 1] + 4)},
    index=IDS,
)
RENT = pd.Series(5.0 + NUMBERS[:, 0] + 0.5 * (CODES == 1), index=IDS, name="rent")
VOTE = pd.Series(np.array(["no", "yes"])[(X[:, 2] + X[:, 0] > 0).astype(int)], index=IDS, name="vote")


def piped(final: Any) -> Any:
    """Scaled numbers and one column for each town."""
    return make_pipeline(
        make_column_transformer((OneHotEncoder(), ["town"]), (StandardScaler(), ["age", "income"])), final
    )


def regressor(**more: Any) -> Any:
    """One that ends at a minimum."""
    return MLPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=5000, random_state=0, **more
    )


def test_pipeline_names_rows_and_columns_as_the_user_does() -> None:
    """Ids, the target's name and unit, what is frozen; rows without preprocessing go back through it."""
    model = piped(regressor()).fit(TABLE, RENT)
    found = Influence.from_sklearn(model, TABLE, RENT)
    adapted = found.adapted
    assert (adapted.targets, adapted.unit, adapted.row_ids[0]) == (("rent",), "rent", "p0")
    assert "preprocessing (ColumnTransformer)" in adapted.convention
    scores = found.scores(TABLE.iloc[:2], RENT.iloc[:2], measurement="prediction")
    assert scores.top(3, query=0, kind="both")["row"].isin(IDS).all()
    refitted = found.without(["p3", "p4"]).model
    assert type(refitted) is type(model)
    kept = TABLE.index.difference(["p3", "p4"], sort=False)
    fresh = model[-1].__class__(**{**model[-1].get_params(), "tol": 1e-10})
    cold = fresh.fit(model[:-1].transform(TABLE.loc[kept]), RENT[kept])
    np.testing.assert_allclose(refitted.predict(TABLE), cold.predict(model[:-1].transform(TABLE)), atol=2e-2)


def test_features_are_the_users_own_columns() -> None:
    """Per unit of the table's column, through the scaling, as refits with the column moved have it."""
    model = piped(regressor()).fit(TABLE, RENT)
    found = Influence.from_sklearn(model, TABLE, RENT)
    effects = found.features(TABLE.iloc[[1]], RENT.iloc[[1]], ["p5"], measurement="prediction")
    step = {"age": 1.0, "income": 800.0}
    for name, size in step.items():
        ends = []
        for sign in (1, -1):
            other = TABLE.copy()
            other.loc["p5", name] += sign * size
            ends.append(moved_prediction(model, other))
        slope = (ends[0] - ends[1]) / (2 * size)
        at = list(effects.columns).index(name)
        assert effects.values[0, 0, at] == pytest.approx(slope, rel=2e-2)


def moved_prediction(model: Any, table: pd.DataFrame) -> float:
    """Of row p1 as it was, by the network refitted on another table behind the same preprocessing."""
    found = Influence.from_sklearn(model, TABLE, RENT)
    network = found.adapted.objective
    seen = model[:-1].transform(table)
    vector = refit_network(replace(network, inputs=torch.as_tensor(np.asarray(seen, dtype=float))), [()]).vectors[0]
    return float(found.adapted.rebuild(network.at(vector).values).predict(TABLE.iloc[[1]])[0])


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_saved_perceptron_comes_back(solver: str, tmp_path: Path) -> None:
    """Scores to the bit, from a file that holds no pickle."""
    case = Case("multiclass", solver)
    influence(case).save(tmp_path / "m.influence")
    back = Influence.load(tmp_path / "m.influence")
    first, second = (one.scores(X[:2], case.y[:2]) for one in (influence(case), back))
    np.testing.assert_array_equal(first.values, second.values)
    assert (first.meaning, first.how) == (second.meaning, second.how)


def test_search_labels_and_sparse_rows() -> None:
    """GridSearchCV is taken off; labels stay words; sparse X is read, and means the same."""
    grid = GridSearchCV(
        piped(MLPClassifier((3,), solver="lbfgs", alpha=1.0, random_state=0)), {"mlpclassifier__alpha": [0.5, 1]}, cv=2
    )
    found = Influence.from_sklearn(grid.fit(TABLE, VOTE), TABLE, VOTE)
    assert found.adapted.classes == ("no", "yes")
    assert "the settings that the search chose" in found.adapted.convention
    assert isinstance(found.without(["p9"]).model, GridSearchCV)

    case = Case("multiclass", "lbfgs")
    thin = sp.csr_array(X * (np.abs(X) > 0.4))
    sparse, dense = (Influence.from_sklearn(case.make().fit(x, case.y), x, case.y) for x in (thin, thin.toarray()))
    few = thin[[0, 1, 2]]
    a, b = sparse.scores(few, case.y[:3]).values, dense.scores(few.toarray(), case.y[:3]).values
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


def test_float32_rows_are_refitted_as_they_were_fitted() -> None:
    """The estimator computes in float32 there: the same run comes out again."""
    case = Case("regression", "adam")
    x = X.astype(np.float32)
    found = Influence.from_sklearn(case.make().fit(x, case.y), x, case.y)
    assert found.attribution.refits_said().startswith("same_init")
    assert found.without([2]).model.coefs_[0].dtype == np.float32


# -- said and refused ------------------------------------------------------------------------------------------------


def test_notes_say_what_training_was() -> None:
    """Early stopping with how many rows it held, a start that nobody knows, a constant column."""
    x = np.column_stack([X, np.ones(N)])
    case = Case("binary", "adam")
    notes = adapt(case.make(early_stopping=True, random_state=None).fit(x, case.y), x, case.y).notes
    assert any("early stopping held 6 rows out" in note for note in notes)
    assert any("random_state is not a number" in note for note in notes)
    assert any("'x3' is constant" in note for note in notes)
    assert adapt(Case("regression", "lbfgs").fit(early_stopping=True), X, NUMBERS[:, 0]).notes == ()


@pytest.mark.parametrize("kind", ["multiclass", "regression", "multi-output", "poisson"])
def test_other_rows_than_the_fits_are_noticed(kind: str) -> None:
    """lbfgs keeps the loss that it ended with: other labels, rows or weights have another."""
    case = Case(kind, "lbfgs")
    model = fitted(case)[0]
    for x, y, weights in ((X, case.y[::-1], None), (X[:40], case.y[:40], None), (X, case.y, WEIGHTS**3)):
        assert "other rows, labels or weights" in str(adapt(model, x, y, weights).stationarity.mismatch)


class Own(MLPClassifier):
    """A user's own class."""


TWO = np.stack([CODES > 0, CODES > 1], axis=1).astype(int)
REFUSED: dict[str, tuple[Callable[[], Any], Any, type[Exception], str]] = {
    "multilabel": (lambda: MLPClassifier(max_iter=2).fit(X, TWO), TWO, UnsupportedModel, "gives 2 labels a row"),
    "three labels": (
        lambda: MLPClassifier(max_iter=2).fit(X, np.eye(3, dtype=int)[CODES] | 1),
        np.eye(3, dtype=int)[CODES] | 1,
        UnsupportedModel,
        "gives 3 labels a row",
    ),
    "subclass": (lambda: Own(max_iter=2).fit(X, CODES), CODES, UnsupportedModel, "Own is another perceptron"),
    "not fitted": (lambda: MLPClassifier(), CODES, InputError, "MLPClassifier is not fitted"),
    "one class": (lambda: fitted(Case("binary", "adam"))[0], np.full(N, "no"), InputError, "y holds one class"),
    "new label": (lambda: fitted(Case("binary", "adam"))[0], np.full(N, "maybe"), InputError, "'maybe'"),
    "rows": (lambda: fitted(Case("binary", "adam"))[0], CODES[:9], InputError, "X has 60 rows and y has 9"),
    "negative": (lambda: fitted(Case("poisson", "adam"))[0], COUNTS - 1, InputError, "y is negative in .* rows"),
    "targets": (lambda: fitted(Case("multi-output", "adam"))[0], COUNTS, InputError, "y has shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused_by_name(name: str) -> None:
    """The class and what to do, or the place in the data."""
    make, y, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        adapt(make(), X, y)


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_without_torch_the_command_to_install_it_is_given(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a perceptron needs it."""
    model = kind(max_iter=2).fit(X, CODES)
    for name in [name for name in sys.modules if name.startswith("upweight.adapters.mlp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=rf"{kind.__name__} needs torch: pip install 'upweight\[torch\]'"):
        adapt(model, X, CODES)
