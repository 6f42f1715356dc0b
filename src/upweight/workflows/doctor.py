"""What would go wrong, before anything long, and how long it would take: of a table, or of a network.

Everything is looked at that can be, whatever else is wrong. Stands on doctor_table and doctor_network; `upweight
doctor` prints what it finds.
"""

import os

from upweight.workflows.diagnosis import Diagnosis, Finding
from upweight.workflows.doctor_table import diagnose_table
from upweight.workflows.imported import names_function, require_torch

__all__ = ["Diagnosis", "Finding", "diagnose"]


def diagnose(
    data: str | os.PathLike[str],
    target: str | None = None,
    *,
    id_column: str | None = None,
    group: str | None = None,
    time: str | None = None,
    model: str | os.PathLike[str] | None = None,
    trust_pickle: bool = False,
    solver: str = "auto",
    device: str | None = None,
    seed: int = 0,
) -> Diagnosis:
    """`data`: a table's file, or `package.module:function`, which returns what Influence.from_torch takes.

    Raises: InputError and FileError where there is nothing to look at: no file that can be read, no target, no function
    that can be called; MissingExtra for a network without torch.
    """
    if names_function(data):
        require_torch(data)
        from upweight.workflows.doctor_network import diagnose_network
        from upweight.workflows.torch_task import read_task

        return diagnose_network(read_task(os.fspath(data), device), solver)
    return diagnose_table(
        data,
        target,
        id_column=id_column,
        group=group,
        time=time,
        model=model,
        trust_pickle=trust_pickle,
        solver=solver,
        seed=seed,
    )
