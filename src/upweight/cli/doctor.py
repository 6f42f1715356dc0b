"""`upweight doctor`: what would go wrong and how long it would take, before anything long."""

import typer

from upweight.cli.options import (
    AsJson,
    Data,
    Debug,
    Device,
    Group,
    Id,
    Model,
    Seed,
    Solver,
    Target,
    Time,
    TrustPickle,
)
from upweight.cli.progress import current

__all__ = ["doctor"]


def doctor(
    data: Data,
    target: Target = None,
    id_column: Id = None,
    group: Group = None,
    time: Time = None,
    model: Model = None,
    trust_pickle: TrustPickle = False,
    solver: Solver = "auto",
    device: Device = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what would go wrong, and how long it would take, before anything long.

    Everything is looked at, and all problems are said at once. Exit codes: 0 where all is fine, 1 where there is a
    warning or a problem, 2 where there is nothing to look at.

    \b
    Example, after `make demo`:
      upweight doctor demo/digits.csv --model demo/model.skops
    """
    from upweight.cli.doctoring import Job, run

    code = run(
        Job(
            data=data, target=target, id_column=id_column, group=group, time=time, model=model,
            trust_pickle=trust_pickle, solver=solver, device=device, seed=seed, as_json=as_json,
        ),
        current(),
    )  # fmt: skip
    if code:
        raise typer.Exit(code)
