"""dattri: conjugate gradients as its README calls them, with the penalty in the loss, and EK-FAC.

Run in its own environment, from the repository's root: python -m benchmarks.peers.dattri --list
Source of the default: the README of dattri 0.3.0 (IFAttributorCG, max_iter 10, regularization 1e-2, plain
cross-entropy), which at lam = 0.01 is the penalty on all parameters, intercepts too. CG wants all rows in one
batch (per-row gradients of all rows at once, and per query a copy of the rows): so few queries. EK-FAC
takes the rows in batches. In 0.3.0 it multiplies by the eigenvector matrix Q where the eigenbasis is Q'
(func/fisher.py, transform_test_rep) and lays weights and intercepts out in another order than it reads them:
on 2,000 rows its Pearson is 0.34 as it is, 0.90 with both mended; it is shown as it is. No 1/n and no minus
sign: scores are divided by n, the sign is upweight's.
"""

from typing import Any

import numpy as np
import torch
from dattri.algorithm import IFAttributorCG
from dattri.algorithm.influence_function import IFAttributorEKFAC
from dattri.task import AttributionTask
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peers.measure import Peer, Setting, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, floor, linear, loader, penalised_loss, query_set, train_set
from benchmarks.peers.translation import TRANSLATIONS

FEW = 5
DAMPED = "as damping of all parameters, intercepts too"
IN_LOSS = "in the loss, intercepts free"


def score(problem: Problem, setting: Setting) -> NDArray[np.floating]:
    torch.manual_seed(0)
    options = dict(setting.options)
    method, in_loss = options.pop("method"), setting.penalty == IN_LOSS
    model: nn.Module = Penalised(problem) if in_loss else nn.Sequential(linear(problem))
    loss_of = penalised_loss if in_loss else nn.functional.cross_entropy

    def loss(params: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return loss_of(torch.func.functional_call(model, params, (x,)), y)

    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    whole = method == "cg"
    train = loader(train_set(problem), len(problem.X_train)) if whole else loader(train_set(problem))
    queries = loader(query_set(problem), len(problem.X_query))
    attributor = (IFAttributorCG if whole else IFAttributorEKFAC)(task=task, **options)
    attributor.cache(train)
    with torch.no_grad():
        found: NDArray[np.floating] = attributor.attribute(train, queries).T.numpy()
    return found


def _cg(steps: int) -> Setting:
    return Setting({"method": "cg", "max_iter": steps}, IN_LOSS, queries=FEW)


def _ekfac(damping: float) -> Setting:
    return Setting({"method": "ekfac", "damping": damping}, DAMPED)


README: dict[str, Any] = {"method": "cg", "max_iter": 10, "regularization": 1e-2}

PEER = Peer(
    distribution="dattri",
    settings={
        "default": Setting(README, DAMPED, queries=FEW, documented_default=True, source="README"),
        "cg steps=10": _cg(10),
        "cg steps=30": _cg(30),
        "cg steps=100": _cg(100),
        "ekfac damping=0.01": _ekfac(0.01),
    },
    score=score,
    to_upweight=lambda problem: TRANSLATIONS["dattri"].factor(len(problem.X_train)),
    translation=TRANSLATIONS["dattri"].words,
    floor=floor,
)

if __name__ == "__main__":
    main(PEER)
