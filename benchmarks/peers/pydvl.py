"""pyDVL: EK-FAC, which its documentation names for large problems; conjugate gradients and Nyström in the grid.

Run in its own environment, from the repository's root: python -m benchmarks.peers.pydvl --list
Source of the defaults: the constructors of pyDVL 0.10.0 (EkfacInfluence: update_diagonal False,
hessian_regularization 0; CgInfluence: rtol 1e-4, atol 1e-6, one query after the other). EK-FAC takes plain
cross-entropy and knows the penalty only as damping; the others see it in the loss. Mode "up" has no 1/n:
scores are divided by n, the sign is upweight's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydvl.influence import InfluenceMode, SequentialInfluenceCalculator
from pydvl.influence.torch import CgInfluence, EkfacInfluence, NystroemSketchInfluence
from pydvl.influence.torch.util import NestedTorchCatAggregator

from benchmarks.peers.measure import Peer, Setting, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, floor, linear, loader, penalised_loss, query_set, train_set
from benchmarks.peers.translation import TRANSLATIONS

ROWS_A_BLOCK = 500  # per-row gradients: four times faster a row than blocks of 2,000, as measured here
DAMPED = "as damping of all parameters, intercepts too"
IN_LOSS = "in the loss, intercepts free"

MODELS: dict[str, Callable[..., Any]] = {
    "ekfac": lambda problem, **options: EkfacInfluence(linear(problem), **options),
    "cg": lambda problem, **options: CgInfluence(Penalised(problem), penalised_loss, **options),
    "nystroem": lambda problem, **options: NystroemSketchInfluence(
        linear(problem), torch.nn.functional.cross_entropy, **options
    ),
}


def score(problem: Problem, setting: Setting) -> NDArray[np.floating]:
    torch.manual_seed(0)
    options = dict(setting.options)
    model = MODELS[options.pop("method")](problem, **options)
    calculator = SequentialInfluenceCalculator(model.fit(loader(train_set(problem))))
    train = loader(train_set(problem), ROWS_A_BLOCK)
    queries = loader(query_set(problem), len(problem.X_query))
    lazy = calculator.influences(queries, train, mode=InfluenceMode.Up)
    found: NDArray[np.floating] = lazy.compute(aggregator=NestedTorchCatAggregator()).detach().numpy()
    return found


def _ekfac(damping: float, penalty: str = DAMPED, **also: Any) -> Setting:
    return Setting({"method": "ekfac", "hessian_regularization": damping} | also, penalty)


PEER = Peer(
    distribution="pyDVL",
    settings={
        "default": Setting({"method": "ekfac"}, "absent: the default damping is 0", documented_default=True),
        "ekfac damping=0.01": _ekfac(0.01, f"lam {DAMPED}"),
        "ekfac+diagonal damping=0.003": _ekfac(0.003, update_diagonal=True),
        "ekfac+diagonal damping=0.01": _ekfac(0.01, f"lam {DAMPED}", update_diagonal=True),
        "ekfac+diagonal damping=0.03": _ekfac(0.03, update_diagonal=True),
        "nystroem rank=300": Setting({"method": "nystroem", "rank": 300, "regularization": 0.01}, f"lam {DAMPED}"),
        "cg": Setting({"method": "cg", "solve_simultaneously": True}, IN_LOSS, queries=5),
    },
    score=score,
    to_upweight=lambda problem: TRANSLATIONS["pydvl"].factor(len(problem.X_train)),
    translation=TRANSLATIONS["pydvl"].words,
    floor=floor,
)

if __name__ == "__main__":
    main(PEER)
