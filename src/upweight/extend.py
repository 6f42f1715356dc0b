"""The protocols to keep, and the values to return, for whoever adds a loss, curvature, solver, source or question.

A new entry also needs its line in its folder's registry, and passes the conformance tests over `upweight.testing`.
"""

from upweight.adapters import Adapted, Stationarity
from upweight.adapters.reading import Reading, Task
from upweight.attribution import Attribution, Perturbable
from upweight.curvature import Batched, Curvature, Dense, RootPlusDiagonal, RowJacobians, RowKernel, WithDiagonal
from upweight.features import Features
from upweight.gradients import GradientSource
from upweight.linear_head import LinearHead
from upweight.measurement import Measurement
from upweight.output_loss import OutputLoss, Scalar
from upweight.params import Params
from upweight.perturbation import Perturbation
from upweight.questions import Answer, Question
from upweight.sensitivity import Response, Sensitivity
from upweight.solvers import Prepared, Solution, Solver, Status

__all__ = [
    "Adapted",
    "Answer",
    "Attribution",
    "Batched",
    "Curvature",
    "Dense",
    "Features",
    "GradientSource",
    "LinearHead",
    "Measurement",
    "OutputLoss",
    "Params",
    "Perturbable",
    "Perturbation",
    "Prepared",
    "Question",
    "Reading",
    "Response",
    "RootPlusDiagonal",
    "RowJacobians",
    "RowKernel",
    "Scalar",
    "Sensitivity",
    "Solution",
    "Solver",
    "Stationarity",
    "Status",
    "Task",
    "WithDiagonal",
]
