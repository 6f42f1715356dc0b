"""Problems with dense references written a second way: for our own tests and for whoever adds a solver or adapter."""

from upweight.testing.problems import PROBLEMS, Problem, in_namespace, problem

__all__ = ["PROBLEMS", "Problem", "in_namespace", "problem"]
