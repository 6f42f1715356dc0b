"""One virtual environment for each peer under benchmarks/.envs/ (git-ignored), at pinned versions.

Stands on the standard library alone; run.py stands on it. By hand: python benchmarks/peers/environments.py
[NAME ...]. Each but pyinfluence's takes about 1 GB of disk and a minute or two, most of it torch.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "benchmarks" / ".envs"
TORCH = "torch==2.13.0"  # the CPU build, if the pip of the machine is told where one lies

PINS: dict[str, tuple[str, ...]] = {
    "kronfluence": (TORCH, "numpy==2.4.6", "kronfluence==1.0.1"),
    "pydvl": (TORCH, "numpy==1.26.4", "pyDVL[influence]==0.10.0"),
    "dattri": (TORCH, "numpy==2.4.6", "dattri==0.3.0"),
    "captum": (TORCH, "numpy==2.4.6", "captum==0.9.0"),
    "pyinfluence": ("numpy==2.4.6", "scikit-learn==1.9.1", "pyinfluence==0.5.0"),
}


def python(peer: str) -> Path:
    """The interpreter of a peer's environment, made or not."""
    return HOME / peer / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def ready(peer: str) -> bool:
    """Whether the environment was made, to the end, from these very pins."""
    stamp = HOME / peer / "pins.txt"
    return python(peer).exists() and stamp.exists() and stamp.read_text() == "\n".join(PINS[peer])


def create(peer: str) -> None:
    """Makes the environment unless it is there. Raises: subprocess.CalledProcessError if pip fails."""
    if ready(peer):
        return
    if not python(peer).exists():
        venv.create(HOME / peer, with_pip=True, symlinks=sys.platform != "win32")
    # torch by itself first: asked for together with a peer, pip may settle on another build of it
    for group in (PINS[peer][:1], PINS[peer]):
        subprocess.run([str(python(peer)), "-m", "pip", "install", "--quiet", *group], check=True)
    (HOME / peer / "pins.txt").write_text("\n".join(PINS[peer]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", choices=[*PINS, []], help="default: all")
    for name in parser.parse_args().peers or PINS:
        create(name)
        sys.stdout.write(f"{name}: {HOME / name}\n")
