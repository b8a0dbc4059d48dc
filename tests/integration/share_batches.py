"""Some steps of every method, alone or as one rank of several; the first rank saves what comes of them.

A script of its own, started by `test_devices.py`. Networks and heads are without batch norm, since torch synchronises
it on GPUs alone, and gradients are followed plainly (SGD): AdamW would divide the rounding errors of a gradient that is
zero (an attention's key bias) by themselves.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import nn

from benchmark.data.datasets import load_dataset
from benchmark.errors import FirstFailedError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import run_specs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.launch import find_world
from benchmark.machine.ranks import Ranks, join
from benchmark.runs import build
from benchmark.runs import run as run_module
from benchmark.runs.progress import Reporter
from benchmark.training.loop import Callbacks, train
from methods import simclr

if TYPE_CHECKING:
    from benchmark.experiment.run_spec import RunSpec

STEPS = 4
_VIT = {"name": "vit_tiny", "patch_size": 4, "width": 32, "depth": 1}
_PREDICTOR = {"predictor_width": 32, "predictor_heads": 1, "predictor_depth": 1, "normalise": "layer"}
_EVERY_TERM = {"variance_weight": 0.5, "covariance_weight": 0.1, "cycle_weight": 0.5, "projection_dim": 16}
_UNSHARED = {"masking": {"target_share": None}}  # so that images hide different numbers of cells
_BATCH = {"normalise": "batch", "ema": {"start": None, "half_life": 0.2}}
_UNEVEN = {"masking": {"same_size": False, "context_scale": [0.5, 1.0]}}
_PROTOTYPES = {"prototypes": 16, "head_hidden": 32, "bottleneck": 16, "freeze_prototypes": 0.3}
_ENTRIES: dict[str, dict[str, Any]] = {
    "byol": {"overrides": {"projector_hidden": 32, "predictor_hidden": 32, "output_dim": 16}},
    "simclr": {"overrides": {"projector_hidden": 32, "output_dim": 16, "temperature": 0.2}},
    "vicreg": {"overrides": {"projector_hidden": 32, "output_dim": 32}},
    "supervised": {},
    "cnn_jepa": {},
    "cnn_jepa_dense": {"method": "cnn_jepa", "overrides": {"encoder": "masked_dense"}},
    "cnn_jepa_uneven": {"method": "cnn_jepa", "overrides": _UNSHARED},
    "cnn_jepa_terms": {"method": "cnn_jepa", "overrides": {**_UNSHARED, **_EVERY_TERM}},
    "cnn_jepa_batch": {"method": "cnn_jepa", "overrides": {**_UNSHARED, **_BATCH}},
    "ijepa": {"backbone": _VIT, "overrides": _PREDICTOR},
    "ijepa_uneven": {"method": "ijepa", "backbone": _VIT, "overrides": {**_PREDICTOR, **_UNEVEN}},
    "ijepa_terms": {"method": "ijepa", "backbone": _VIT, "overrides": {**_PREDICTOR, **_UNEVEN, **_EVERY_TERM}},
    "ijepa_batch": {"method": "ijepa", "backbone": _VIT, "overrides": {**_PREDICTOR, **_UNEVEN, **_BATCH}},
    "simsiam": {"overrides": {"dimension": 32, "bottleneck": 16}},
    "barlow_twins": {"overrides": {"projector_hidden": 32, "output_dim": 32}},
    "moco_v3": {"overrides": {"projector_hidden": 32, "output_dim": 16}},
    "dino": {"overrides": _PROTOTYPES},
    "ibot": {"backbone": _VIT, "overrides": _PROTOTYPES},
    "msn": {"backbone": _VIT, "overrides": {"prototypes": 16, "head_hidden": 32, "output_dim": 16}},
    "mae": {"backbone": _VIT, "overrides": {"decoder_width": 32, "decoder_depth": 1}},
    "spark": {"overrides": {"decoder_width": 32}},
    "data2vec": {"backbone": _VIT, "overrides": {"blocks": 1}},
    "lejepa": {"overrides": {"projector_hidden": 32, "output_dim": 16, "directions": 16}},
    "vicregl": {"overrides": {"projector_hidden": 32, "output_dim": 32, "local_hidden": 16, "local_dim": 16}},
}
_SGD = {"name": "sgd", "lr": 0.05, "warmup": 0.0, "weight_decay": 0.001, "clip": 1.0}
_CUT = (  # whose losses do not compare images
    *("byol", "supervised", "cnn_jepa_uneven", "ijepa_uneven"),
    *("simsiam", "dino", "ibot", "mae", "spark", "data2vec"),
)


def without_batch_norm(module: Any) -> Any:
    """The module with identities in place of its batch norms."""
    for name, child in list(module.named_children()):
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, nn.Identity())
        else:
            without_batch_norm(child)
    return module


def _build_method(real: Any, spec: RunSpec, dataset: Any, ranks: Ranks) -> Any:
    method = without_batch_norm(real(spec, dataset, ranks))
    if spec.method.name == "cnn_jepa":
        method.model._build_encoders()  # they hold the layers that were there before
    if spec.method.name == "spark":
        method.synchronise_batch_norm()  # likewise
    return method


def plans(folder: Path, names: tuple[str, ...], accumulate: int) -> list[RunSpec]:
    entries = []
    for name in names:
        entry = {"name": name, "method": name, **_ENTRIES[name]}
        entries.append({**entry, "overrides": {**entry.get("overrides", {}), "optimizer": _SGD}})
    content = {
        "dataset": {"name": "shapes", "shapes_train": 120, "shapes_test": 20},
        "backbone": {"name": "resnet18", "stem": "small", "width": 8},
        "budget": {"steps": STEPS},
        "batch_size": 16,
        "accumulate": accumulate,
        "precision": "32",
        "entries": entries,
    }
    path = folder / str(os.getpid()) / f"share-{accumulate}.yaml"  # two processes must not write one file
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    experiment, source = load_experiment(str(path))
    return run_specs(experiment, resolve_entries(experiment, source), 32)


def trained(todo: list[RunSpec], dataset: Any, ranks: Ranks, folder: Path) -> dict[str, Any]:
    """History and weights of each entry."""
    found = {}
    for plan in todo:
        reporter: Any = Reporter
        run = run_module.Run(plan, dataset, ranks.device, folder, reporter, StopSignal(print), ranks)
        assert run.training is not None
        assert train(run.training, Callbacks(), points=STEPS) == "completed"
        lines = [line for line in run.training.history if line["kind"] == "train"]
        found[plan.entry.name] = {"lines": lines, "state": dict(run.method.state_dict())}
        run.close()
    return found


def agreed(ranks: Ranks) -> dict[str, Any]:
    """What ranks agree on, asked with something else on each of them."""

    def fails() -> None:
        raise ValueError("on the first rank")

    try:
        ranks.first(fails)
        failure = ""
    except (ValueError, FirstFailedError) as error:
        failure = type(error).__name__
    ranks.begin_run()
    return {
        "failure": failure,
        "settled": ranks.finish_run(ranks.rank == 1),
        "agree": ranks.agree(float(ranks.rank), ranks.rank == 1),
        "mean": ranks.mean({"a": float(ranks.rank), "b": 1.0}),
        "sum": ranks.sum(2.0),
        "any": ranks.any(ranks.rank == 1),
        "first": ranks.first(lambda: f"from rank {ranks.rank}"),
        "processes": len(ranks.processes),
    }


def main(out: Path) -> None:
    torch.set_num_threads(1)
    real = build.build_backbone
    build.build_backbone = lambda *arguments: without_batch_norm(real(*arguments))
    run_module.build_method = partial(_build_method, run_module.build_method)
    folder = out.with_suffix("")
    folder.mkdir(exist_ok=True)
    ranks = join("cpu", find_world(None))
    whole, cut = plans(folder, tuple(_ENTRIES), 1), plans(folder, _CUT, 2)
    dataset = load_dataset(whole[0].experiment.dataset, None)
    found = {"agreed": agreed(ranks), "whole": trained(whole, dataset, ranks, folder)}
    found["cut"] = trained(cut, dataset, ranks, folder)
    simclr.whole_batch = lambda features: features
    found["not gathered"] = trained(plans(folder, ("simclr",), 1), dataset, ranks, folder)
    name = out if ranks.is_first else out.with_name(f"{out.stem}-{ranks.rank}.pt")
    torch.save(found, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
