"""`upweight explain`: which training rows are behind a prediction, and what would happen without them."""

from pathlib import Path
from typing import Annotated

import typer

from upweight.cli.options import (
    AsJson,
    Data,
    Debug,
    Device,
    Group,
    Id,
    Model,
    NoRows,
    Query,
    Report,
    Seed,
    Solver,
    Target,
    Time,
    TrustPickle,
)
from upweight.cli.progress import current

__all__ = ["explain"]

WORST = 5


def explain(
    data: Data,
    target: Target = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            help="A data row of the file, counted from 0, or its id with --id; repeat it for more. A training row is "
            "first taken out of the training rows, so that it does not explain itself. Of a network: one of the "
            "function's queries, or without them a training row.",
            show_default=False,
        ),
    ] = None,
    query: Query = None,
    worst: Annotated[
        int | None,
        typer.Option(
            "--worst",
            help="The K held-out rows that are predicted worst, grouped by the harmful rows that they share; 5 if "
            "nothing is asked.",
            show_default=False,
        ),
    ] = None,
    id_column: Id = None,
    group: Group = None,
    time: Time = None,
    model: Model = None,
    trust_pickle: TrustPickle = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave an explained training row in the training rows.")] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", help="The class a flip should reach, or the number it should cross.", show_default=False),
    ] = None,
    report: Report = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            "--evidence",
            help="Write the answer as a record to file, JSON: ids, numbers, proofs, fingerprints. "
            "`upweight check --evidence` runs it again.",
            show_default=False,
        ),
    ] = None,
    model_card: Annotated[
        Path | None,
        typer.Option("--model-card", help="Write the same as a section of a model card, Markdown.", show_default=False),
    ] = None,
    measurement: Annotated[
        str | None,
        typer.Option(
            "--measurement",
            help="loss, log_prob, prob, margin or prediction; else the loss, or a number's error.",
            show_default=False,
        ),
    ] = None,
    solver: Solver = "auto",
    device: Device = None,
    seed: Seed = 0,
    no_rows: NoRows = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the training rows behind a prediction, and what would happen without them.

    Each row that is shown is really taken out and the model refitted. Without --row, --query or --worst, the five
    held-out rows that are predicted worst are explained.

    \b
    Example, after `make demo`:
      upweight explain demo/digits.csv --model demo/model.skops --row 683
    """
    from upweight.workflows.imported import names_function, require_torch

    if names_function(data):
        require_torch(data)
        from upweight.cli.torch_explaining import TorchJob
        from upweight.cli.torch_explaining import run as run_torch

        run_torch(
            TorchJob(
                name=str(data), rows=tuple(row or ()), worst=worst, keep=keep, to=to, report=report,
                measurement=measurement, solver=solver, device=device, seed=seed, show_rows=not no_rows,
                as_json=as_json,
                table={
                    "--target": target, "--query": query, "--id": id_column, "--group": group, "--time": time,
                    "--model": model, "--trust-pickle": trust_pickle, "--evidence": evidence,
                    "--model-card": model_card,
                },
            ),
            current(),
        )  # fmt: skip
        return
    from upweight.cli.explaining import Job, run
    from upweight.cli.page import require_host

    require_host(device)
    run(
        Job(
            data=data, target=target, rows=tuple(row or ()), query=query, worst=worst, id_column=id_column, group=group,
            time=time, model=model, trust_pickle=trust_pickle, keep=keep, to=to, report=report, measurement=measurement,
            solver=solver, seed=seed, show_rows=not no_rows, as_json=as_json,
            evidence=evidence, model_card=model_card,
        ),
        current(),
    )  # fmt: skip
