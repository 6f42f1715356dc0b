"""Which rows and groups a check removes."""

import numpy as np

from upweight.validation.sampling import shown, stratified, stratified_groups


def values(q: int = 2, n: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(q, n)) ** 3


def test_largest_and_smallest_are_always_there() -> None:
    """Of 24 rows ten have the largest scores, four the smallest, and ten come from between; ascending, each once."""
    v = values()
    at = stratified(v, 24, np.random.default_rng(1))
    order = shown(v, 300)
    assert len(set(at.tolist())) == 24
    assert (np.diff(at) > 0).all()
    assert set(order[:10].tolist()) <= set(at.tolist())
    assert set(order[-4:].tolist()) <= set(at.tolist())
    assert set(shown(v).tolist()) <= set(at.tolist())  # every row that a person reads


def test_few_rows_are_all_removed() -> None:
    """Fewer rows than asked for: all of them; one row: the largest."""
    assert stratified(values(n=20), 24, np.random.default_rng(1)).tolist() == list(range(20))
    assert stratified(values(), 1, np.random.default_rng(1)).tolist() == shown(values(), 1).tolist()


def test_sample_depends_on_its_generator_alone() -> None:
    """The same seed, the same rows; another seed, others between the extremes."""
    one, two, other = (stratified(values(), 24, np.random.default_rng(s)).tolist() for s in (1, 1, 2))
    assert one == two != other


def test_groups() -> None:
    """Lowest, highest and random hundredths; none where eight rows could not hold them apart."""
    v = values(n=500)
    (_, low), (_, high), (_, drawn) = stratified_groups(v, np.random.default_rng(0))
    total = v.sum(axis=0)
    assert len(low) == len(high) == len(set(drawn.tolist())) == 5
    assert total[low].max() <= np.delete(total, low).min()
    assert total[high].min() >= np.delete(total, high).max()
    assert stratified_groups(values(n=7), np.random.default_rng(0)) == ()
