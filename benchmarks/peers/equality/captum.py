"""captum's NaiveInfluenceFunction: the Hessian written out, all of its eigenvectors kept, no regularisation.

Its Hessian is the SUM over the rows, so a penalty inside each row's loss enters n times, as it must; see softmax.py.
Its tolerance of 1e-5 drops the one direction that no row sees (a shift of all intercepts, where there are several).
It takes eigenvectors from torch.linalg.eig, which promises no orthogonal ones (max |VᵀV − I| was 0.9998 on the ten
classes in float32); the second way puts torch.linalg.eigh in its place, to show that nothing else is the cause of what
float32 loses.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from captum.influence._core.influence_function import NaiveInfluenceFunction
from captum.influence._utils import common
from torch import Tensor

from benchmarks.peers.equality.answer import Scores, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, penalised_loss, train_set


def summed_loss(output: Tensor, y: Tensor) -> Tensor:
    return penalised_loss(output, y, reduction="none").sum()


def score(problem: Problem) -> Scores:
    model = Penalised(problem)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model.pt"
        torch.save(model.state_dict(), checkpoint)
        influence = NaiveInfluenceFunction(
            model,
            train_set(problem),
            str(checkpoint),
            loss_fn=summed_loss,
            batch_size=len(problem.X_train),
            sample_wise_grads_per_batch=True,
            projection_dim=problem.W.size + problem.b.size,
            hessian_reg=0.0,
        )
        queries = (torch.from_numpy(problem.X_query), torch.from_numpy(problem.y_query))
        found: Scores = influence.influence(queries).detach().numpy()
    return found


@contextmanager
def orthogonal_eigenvectors() -> Iterator[None]:
    own = common._eig_helper
    common._eig_helper = torch.linalg.eigh
    try:
        yield
    finally:
        common._eig_helper = own


def score_by_eigh(problem: Problem) -> Scores:
    with orthogonal_eigenvectors():
        return score(problem)


if __name__ == "__main__":
    main("captum", {"NaiveInfluenceFunction, full rank": score, "the same, eigh for its eig": score_by_eigh})
