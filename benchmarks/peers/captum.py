"""captum: influence functions by Arnoldi's low-rank inverse Hessian; the explicit Hessian does not scale to here.

Run in its own environment, from the repository's root: python -m benchmarks.peers.captum --list
Source of the defaults: ArnoldiInfluenceFunction of captum 0.9.0 (projection_dim 50, arnoldi_dim 200,
arnoldi_tol 0.1, hessian_reg 1e-3), but for what its documentation asks for speed: batch_size, 1 by default,
is raised, and sample_wise_grads_per_batch, off by default, is on; neither changes a score.
Its Hessian is the SUM over the rows, so the scores hold a 1/n already and are taken as they are; the penalty
goes into each row's loss around the fitted weights, which makes n lam in the sum.
NaiveInfluenceFunction (explicit Hessian) is not run: it differentiates the gradient of all rows once for each
of the 7,850 parameters and then decomposes a 7,850 x 7,850 matrix: about 7,850 passes over the rows, twenty
to fifty times what every other peer here needs.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from captum.influence._core.arnoldi_influence_function import ArnoldiInfluenceFunction
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.peers.measure import Peer, Setting, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, floor, penalised_loss, train_set
from benchmarks.peers.translation import TRANSLATIONS

IN_LOSS = "in each row's loss, intercepts free"
ROWS_A_BATCH = 2000


def summed_loss(output: Tensor, y: Tensor) -> Tensor:
    return penalised_loss(output, y, reduction="none").sum()


def score(problem: Problem, setting: Setting) -> NDArray[np.floating]:
    model = Penalised(problem)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model.pt"
        torch.save(model.state_dict(), checkpoint)
        influence = ArnoldiInfluenceFunction(
            model,
            train_set(problem),
            str(checkpoint),
            loss_fn=summed_loss,
            batch_size=ROWS_A_BATCH,
            sample_wise_grads_per_batch=True,
            **setting.options,
        )
        queries = (torch.from_numpy(problem.X_query), torch.from_numpy(problem.y_query))
        found: NDArray[np.floating] = influence.influence(queries).detach().numpy()
    return found


PEER = Peer(
    distribution="captum",
    settings={
        "default": Setting({}, IN_LOSS, documented_default=True),
        "rank=400 steps=400": Setting({"projection_dim": 400, "arnoldi_dim": 400}, IN_LOSS),
    },
    score=score,
    to_upweight=lambda problem: TRANSLATIONS["captum"].factor(len(problem.X_train)),
    translation=TRANSLATIONS["captum"].words,
    floor=floor,
)

if __name__ == "__main__":
    main(PEER)
