"""The engines that there are, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.errors import UserError
from methods.config import nearest

if TYPE_CHECKING:
    from benchmark.cluster.engine import Engine

ENGINES = ("slurm", "ray", "local")


def check_engine(name: str) -> None:
    """Raises a `UserError` unless there is an engine of this name."""
    if name not in ENGINES:
        raise UserError(f"--on is '{name}'; {nearest(name, ENGINES)}")


def open_engine(name: str, address: str | None = None) -> Engine:
    """The engine of this name; a `UserError` says what to install for it. `address` is that of a Ray cluster."""
    check_engine(name)
    if address is not None and name != "ray":
        raise UserError(f"--address is of a Ray cluster; --on is '{name}'")
    if name == "local":
        from benchmark.cluster.local import Local

        return Local()
    try:
        if name == "slurm":
            from benchmark.cluster.slurm import Slurm

            return Slurm()
        from benchmark.cluster.ray import Ray

        return Ray(address)
    except ModuleNotFoundError as error:
        raise UserError(f"--on {name} needs the package {error.name}: pip install 'cnn-jepa-bench[{name}]'") from None
