"""The parts of a skops file that are let through without trust, beyond those that skops itself lets through.

Stands on nothing; model_file stands on it. Names one by one, not whole packages: `pandas.eval` or
`numpy.load` would be in reach of a file otherwise, and skops calls what a file names.
"""

import re

__all__ = ["is_harmless"]

_SPLITTERS = (
    "KFold|StratifiedKFold|GroupKFold|StratifiedGroupKFold|RepeatedKFold|RepeatedStratifiedKFold|ShuffleSplit|"
    "StratifiedShuffleSplit|GroupShuffleSplit|TimeSeriesSplit|PredefinedSplit|LeaveOneOut|LeavePOut"
)
_HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"numpy\.dtype",  # OneHotEncoder(dtype=)
        r"sklearn\.compose\._column_transformer\.(make_column_selector|_RemainderColsList)",
        r"sklearn\._loss\.loss\.HalfTweedieLoss(Identity)?",  # TweedieRegressor
        r"sklearn\.metrics\._scorer\._PassthroughScorer",  # the searches
        r"sklearn\.neural_network\._stochastic_optimizers\.(SGD|Adam)Optimizer",  # a perceptron's, as training left it
        rf"sklearn\.model_selection\._split\.({_SPLITTERS})",
        r"sklearn\.feature_selection\._univariate_selection\.(f_classif|f_regression|r_regression|chi2)",
        r"sklearn\.feature_selection\._mutual_info\.mutual_info_(classif|regression)",
        r"scipy\.sparse\._cs[rc]\.cs[rc]_(matrix|array)",  # the support rows of an SVC on sparse columns: numbers
        r"scipy\.stats\._distn_infrastructure\.rv_(continuous|discrete)_frozen",
        r"scipy\.stats\._(continuous|discrete)_distns\.\w+_gen",  # RandomizedSearchCV's settings
    )
)


def is_harmless(name: str) -> bool:
    """Whether a type named in a skops file can be built without running anything that its maker chose."""
    return any(pattern.fullmatch(name) for pattern in _HARMLESS)
