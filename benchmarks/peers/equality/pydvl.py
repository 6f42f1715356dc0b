"""pyDVL's DirectInfluence: the mean Hessian over the rows, solved; mode "up"."""

import torch
from pydvl.influence.torch import DirectInfluence

from benchmarks.peers.equality.answer import Scores, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import Penalised, loader, penalised_loss, train_set


def score(problem: Problem) -> Scores:
    model = DirectInfluence(Penalised(problem), penalised_loss).fit(loader(train_set(problem)))
    asked = (problem.X_query, problem.y_query, problem.X_train, problem.y_train)
    found: Scores = model.influences(*map(torch.from_numpy, asked)).detach().numpy()
    return found


if __name__ == "__main__":
    main("pyDVL", {"DirectInfluence": score})
