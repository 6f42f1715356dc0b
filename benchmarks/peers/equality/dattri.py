"""dattri's IFAttributorExplicit: the Hessian of all rows in one batch, solved, no regularisation.

One batch, because it adds up H⁻¹ of every batch's own Hessian. It solves in the model's dtype and returns float32.
"""

import torch
from dattri.algorithm.influence_function import IFAttributorExplicit
from dattri.task import AttributionTask
from torch import Tensor

from benchmarks.peers.equality.answer import Scores, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, loader, penalised_loss, query_set, train_set


def score(problem: Problem) -> Scores:
    model = Penalised(problem)

    def loss(params: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return penalised_loss(torch.func.functional_call(model, params, (x,)), y)

    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    train, queries = loader(train_set(problem), len(problem.X_train)), loader(query_set(problem), len(problem.X_query))
    attributor = IFAttributorExplicit(task=task)
    attributor.cache(train)
    with torch.no_grad():
        found: Scores = attributor.attribute(train, queries).T.numpy()
    return found


if __name__ == "__main__":
    main("dattri", {"IFAttributorExplicit, one batch": score})
