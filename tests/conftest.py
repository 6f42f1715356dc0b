"""What every test runs under: shapes and types checked on each call, one thread a process, no network.

UPWEIGHT_UNCHECKED=1 leaves the import hook off, to time the suite or to read a plain traceback.
"""

import os
import socket
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads: xdist already fills the cores

from jaxtyping import install_import_hook

if not os.environ.get("UPWEIGHT_UNCHECKED"):
    # an int serves as a float (PEP 484), as mypy has it
    install_import_hook("upweight", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import pytest
import scipy.linalg
import sklearn.linear_model
from threadpoolctl import threadpool_limits

LOADED = (scipy.linalg, sklearn.linear_model)  # their BLAS and OpenMP exist by now, and can be limited


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise OSError(f"tests use no network, and something asked for {address!r}")
        connect(self, address)

    patch.setattr(socket.socket, "connect", refuse)
    yield
    patch.undo()
