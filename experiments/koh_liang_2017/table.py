"""The table of the paper's experiments, from the JSON that each wrote: as text for a terminal, as a page's list.

python experiments/koh_liang_2017/table.py        prints it, and writes results/table.md, which docs/paper.md shows
"""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import Size, folder

__all__ = ["as_text", "documents", "write_page"]

WIDTH = 80
PARTS = {"paper": "the paper", "ours": "here", "differs": "why they differ"}


def documents(out: Path) -> list[dict[str, Any]]:
    """What the experiments wrote into this folder, by row."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")]
    return sorted((one for one in found if "line" in one), key=lambda one: one["row"])


def as_text(found: Sequence[dict[str, Any]]) -> str:
    """A few lines a row, 80 columns."""
    lines = []
    for one in found:
        met = "met" if one["line"]["met"] else "not met"
        lines.append(f"{one['row']}  {one['title']}: {met} ({one['seconds']:.0f} s)")
        parts = {"data": one["data"], **{label: one["line"][key] for key, label in PARTS.items()}}
        for label, text in parts.items():
            start = f"   {label + ':':17}"
            lines += textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
        if one["line"]["shortfall"]:
            lines += textwrap.wrap(
                one["line"]["shortfall"], WIDTH, initial_indent="   short: ", subsequent_indent="   "
            )
    met = sum(one["line"]["met"] for one in found)
    return "\n".join([*lines, "", f"{met} of {len(found)} rows met"])


def write_page(out: Path) -> Path:
    """table.md beside the JSON: the verdicts, then a section a row with its figure; its path.

    Where `full/` beside it holds a row's own counts, they stand below the samples, with the device.
    """
    found, whole = documents(out), {one["name"]: one for one in documents(out / "full")}
    met = sum(one["line"]["met"] for one in found)
    parts = [f"{met} of {len(found)} rows met what they had to show.", ""]
    for one in found:
        parts += [f"## {one['row']}. {one['title'][0].upper()}{one['title'][1:]}", "", f"*{one['data']}*", ""]
        rows = {label: one["line"][key] for key, label in PARTS.items()}
        rows["verdict"] = f"{_verdict(one)} ({_device(one)})"
        if one["name"] in whole:
            full = whole[one["name"]]
            rows["the paper's own counts"] = f"{full['line']['ours']}: {_verdict(full)} ({_device(full)})"
        parts += ["| | |", "|---|---|"]
        parts += [f"| {label} | {text.replace('|', chr(92) + '|')} |" for label, text in rows.items()]
        parts += [""]
        if (out / f"{one['name']}.png").exists():
            parts += [f"![{one['title']}](../experiments/koh_liang_2017/results/{one['name']}.png)", ""]
    path = out / "table.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _device(one: dict[str, Any]) -> str:
    machine = one["machine"]
    load = "" if machine["load"] is None else f", load {machine['load']:.1f}"
    return f"{one['seconds']:,.0f} s, {machine['cores']} cores, {machine['processor']}{load}"


def _verdict(one: dict[str, Any]) -> str:
    line = one["line"]
    return "met" if line["met"] else f"not met: {line['shortfall']}" if line["shortfall"] else "not met"


if __name__ == "__main__":
    print(as_text(documents(folder(Size.PAPER))))
    write_page(folder(Size.PAPER))
