"""kronfluence: EK-FAC (its default strategy) over the softmax regression's one linear layer.

Run in its own environment, from the repository's root: python -m benchmarks.peers.kronfluence --list
Source of the defaults: FactorArguments and ScoreArguments of kronfluence 1.0.1 (strategy "ekfac",
damping_factor 1e-8; None is 0.1 times the mean eigenvalue). Its loss sees no parameters that its factors
could use, so the penalty can enter only as damping, on the intercepts too. It sums over a batch and has no
1/n: scores are divided by n; a positive score lowers the query's loss, so removal raises it: the sign is
upweight's.
"""

import tempfile

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peers.measure import Peer, Setting, main
from benchmarks.peers.problem import Problem
from benchmarks.peers.softmax import floor, linear, query_set, train_set
from benchmarks.peers.translation import TRANSLATIONS

ROWS_A_BATCH = 4096  # the size that it tries first of itself
DAMPED = "as damping of all parameters, intercepts too"


class Classification(Task):
    """Summed cross-entropy; labels drawn from the model for the true Fisher, as its examples do."""

    def compute_train_loss(self, batch: list[Tensor], model: nn.Module, sample: bool = False) -> Tensor:
        x, y = batch
        logits = model(x)
        if sample:
            with torch.no_grad():
                y = torch.multinomial(logits.softmax(dim=1), 1).flatten()
        return nn.functional.cross_entropy(logits, y, reduction="sum")

    def compute_measurement(self, batch: list[Tensor], model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)


def score(problem: Problem, setting: Setting) -> NDArray[np.floating]:
    torch.manual_seed(0)
    task = Classification()
    model = prepare_model(model=nn.Sequential(linear(problem)), task=task)
    queries = len(problem.X_query)
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("peer", model, task, cpu=True, disable_tqdm=True, output_dir=folder)
        analyzer.fit_all_factors(
            factors_name="factors",
            dataset=train_set(problem),
            per_device_batch_size=ROWS_A_BATCH,
            factor_args=FactorArguments(strategy=setting.options["strategy"]),
        )
        analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="factors",
            query_dataset=query_set(problem),
            train_dataset=train_set(problem),
            per_device_query_batch_size=queries,
            per_device_train_batch_size=ROWS_A_BATCH,
            score_args=ScoreArguments(damping_factor=setting.options["damping_factor"]),
        )
        found: NDArray[np.floating] = analyzer.load_pairwise_scores("scores")["all_modules"].numpy()
    return found


def _ekfac(damping: float | None, penalty: str, default: bool = False) -> Setting:
    return Setting({"strategy": "ekfac", "damping_factor": damping}, penalty, documented_default=default)


PEER = Peer(
    distribution="kronfluence",
    settings={
        "default": _ekfac(1e-8, "absent: the default damping is 1e-8", default=True),
        "damping=heuristic": _ekfac(None, "damping 0.1 x the mean eigenvalue, on all parameters"),
        "damping=0.003": _ekfac(0.003, DAMPED),
        "damping=0.01": _ekfac(0.01, f"lam {DAMPED}"),
        "damping=0.03": _ekfac(0.03, DAMPED),
    },
    score=score,
    to_upweight=lambda problem: TRANSLATIONS["kronfluence"].factor(len(problem.X_train)),
    translation=TRANSLATIONS["kronfluence"].words,
    floor=floor,
)

if __name__ == "__main__":
    main(PEER)
