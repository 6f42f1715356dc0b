"""kronfluence's identity strategy: products of gradients, no curvature, so no penalty and no damping either."""

import tempfile

from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import Tensor, nn

from benchmarks.peers.equality.answer import Scores, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import linear, query_set, row_losses, train_set


class Classification(Task):
    """Summed cross-entropy, for rows and queries."""

    def compute_train_loss(self, batch: list[Tensor], model: nn.Module, sample: bool = False) -> Tensor:
        x, y = batch
        return row_losses(model(x), y).sum()

    def compute_measurement(self, batch: list[Tensor], model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)


def score(problem: Problem) -> Scores:
    task = Classification()
    model = prepare_model(model=nn.Sequential(linear(problem)), task=task)
    dtype = model[0].weight.dtype
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("equality", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
        analyzer.fit_all_factors("none", dataset=train_set(problem), factor_args=FactorArguments(strategy="identity"))
        analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="none",
            query_dataset=query_set(problem),
            train_dataset=train_set(problem),
            per_device_query_batch_size=len(problem.X_query),
            per_device_train_batch_size=len(problem.X_train),
            score_args=ScoreArguments(per_sample_gradient_dtype=dtype, precondition_dtype=dtype, score_dtype=dtype),
        )
        found: Scores = analyzer.load_pairwise_scores("scores")["all_modules"].numpy()
    return found


if __name__ == "__main__":
    main("kronfluence", {"identity strategy": score})
