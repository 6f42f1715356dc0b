"""Where the experiments' files are. DATA.md beside them says what each is; a quick run never reads them."""

import os
from pathlib import Path

from harness import HERE, Run, Size

__all__ = ["path_to"]


def path_to(run: Run, file: str) -> Path | None:
    """Where a file of DATA.md is; None in a quick run, and where it is missing, which is said."""
    if run.size is Size.QUICK:
        return None
    root = Path(os.environ.get("UPWEIGHT_DATA") or HERE.parents[2] / "shared" / "data")
    if (root / file).exists():
        return root / file
    run.say(f"{root / file} is missing: a stand-in is used")
    return None
