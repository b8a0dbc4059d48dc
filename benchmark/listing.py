"""What `bench list` prints."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTS = ("methods", "datasets", "backbones", "protocols", "formats", "experiments", "sweeps")


def listing(what: str) -> Iterator[tuple[str, str]]:
    """Names and one line about each."""
    if what == "methods":
        from methods.registry import method_class, method_names, package_of

        for name in method_names():
            try:
                method = method_class(name)
            except ValueError as error:  # somebody's broken package hides nobody else's
                yield name, f"unusable: {error}"
                continue
            module = inspect.getmodule(method)
            kinds = "/".join(method.backbone_kinds)
            package = package_of(name)
            about = ((module and inspect.getdoc(module)) or inspect.getdoc(method) or "").partition("\n")[0]
            yield name, f"[{kinds}] {about}{f' (from package {package})' if package else ''}"
    elif what == "datasets":
        from benchmark.data.datasets import describe_datasets

        yield from describe_datasets()
    elif what == "backbones":
        from methods.backbones import BACKBONES, BackboneSpec

        for name in BACKBONES:
            spec = BackboneSpec(name=name)
            unit = "patch size" if spec.kind == "vit" else "total stride"
            yield name, f"[{spec.kind}] {unit} {spec.stride}"
    elif what == "protocols":
        from benchmark.evaluation.further import FURTHER
        from benchmark.evaluation.protocols import PROTOCOLS

        yield from ((name, protocol.description) for name, protocol in {**PROTOCOLS, **FURTHER}.items())
    elif what == "formats":
        from benchmark.checkpoints.formats import FORMATS

        yield from ((name, form.description) for name, form in FORMATS.items())
    else:
        from benchmark.configs import config_root, read_yaml, shipped_experiments, shipped_sweeps

        sweeps = what == "sweeps"
        folder = config_root() / "sweeps" if sweeps else config_root()
        for name in shipped_sweeps() if sweeps else shipped_experiments():
            yield name, str(read_yaml(folder / f"{name}.yaml").get("description", ""))
