"""pyinfluence's InfluenceFunctions on a binary LogisticRegression: the Hessian written out, no damping."""

from pyinfluence import InfluenceFunctions

from benchmarks.peers.equality.answer import Scores, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.pyinfluence import estimator


def score(problem: Problem) -> Scores:
    attributor = InfluenceFunctions(mode="loss", damping=0.0).fit(estimator(problem), problem.X_train, problem.y_train)
    found: Scores = attributor.explain(problem.X_query, problem.y_query)
    return found


if __name__ == "__main__":
    main("pyinfluence", {"InfluenceFunctions": score})
