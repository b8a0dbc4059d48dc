"""What has to hold on a GPU, for every method; on a CPU the same tests hold their own logic, with what it can check.

`pytest -m cuda tests/integration/test_cuda.py` runs what needs a CUDA device.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from host_waits import on_device, without_waiting
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmark.cost.ledger import Ledger
from benchmark.cost.memory import PeakMemory
from benchmark.data.datasets import load_dataset
from benchmark.experiment.acceleration_spec import AccelerationSpec
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import Experiment
from benchmark.machine.ranks import Ranks
from benchmark.runs.build import build_method as build_on_device
from benchmark.runs.build import build_training
from benchmark.training.acceleration import accelerate, begin_step
from benchmark.training.loop import Objective, run_step
from cnn_jepa.narrow import NarrowConv2d
from methods.base import Batch
from methods.contract import SMALL, build_method, make_batch, make_step
from methods.registry import method_class, own_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.data.datasets import Dataset
    from benchmark.training.loop import Training
    from methods.base import Method

_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ("cpu", pytest.param("cuda", marks=[pytest.mark.cuda, _NO_GPU]))
METHODS = [name for name in own_methods() if method_class(name).trainable]
CASES = [(name, kind) for name in METHODS for kind in method_class(name).backbone_kinds]
FEW = [("simclr", "cnn"), ("byol", "cnn"), ("cnn_jepa", "cnn"), ("ijepa", "vit")]
# Graphs are compiled, too; BYOL has all that SimCLR has.
FASTER = [("byol", "cnn", "compiled"), *((name, kind, "graphs") for name, kind in FEW[1:])]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("device", DEVICES)]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in full float32, and nothing compiled by another test."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.compiler.reset()


def _build(name: str, kind: str, device: str, *, layout: Any = torch.channels_last) -> Method[Any]:
    settings = {"blocks": 1} if name == "data2vec" else {}
    method = build_method(method_class(name), SMALL[kind], settings)
    return method.to(device=device, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _moved(batch: Batch, device: str, layout: Any = torch.channels_last) -> Batch:
    views = tuple(view.to(device).contiguous(memory_format=layout) for view in batch.views)
    return Batch(views, batch.labels.to(device), batch.sample_ids, tuple(box.to(device) for box in batch.boxes))


def _step(method: Method[Any], batch: Batch, *, bf16: bool = False) -> tuple[float, Tensor]:
    """A whole step by plain SGD; the loss, and all gradients as one vector on the CPU."""
    device = batch.views[0].device.type
    step = make_step(0.3)
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.1)
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        loss = method(batch, step).loss
    loss.backward()
    method.after_backward(step)
    gradients = [p.grad.flatten().cpu() for p in method.parameters() if p.grad is not None]
    optimizer.step()
    method.after_step(step)
    return float(loss.detach()), torch.cat(gradients)


def _distance(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_step_is_the_cpus(name: str, kind: str, device: str) -> None:
    if device == "cpu" and (name, kind) not in FEW:
        pytest.skip("there it compares two layouts of the same networks")
    there, here = _build(name, kind, device), _build(name, kind, "cpu", layout=torch.contiguous_format)
    batch = make_batch(here)
    loss, gradient = _step(there, _moved(batch, device))
    expected, expected_gradient = _step(here, batch)
    assert loss == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert _distance(gradient, expected_gradient) < 1e-2
    for path, value in here.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(there.state_dict()[path].cpu(), value, rtol=1e-2, atol=2e-3, msg=path)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_step_in_bf16_is_near_the_one_in_float32(name: str, kind: str, device: str) -> None:
    if device == "cpu" and (name, kind) not in FEW:
        pytest.skip("the same code, slowly")
    rough, exact = _build(name, kind, device), _build(name, kind, device)
    batch = _moved(make_batch(exact), device)
    loss, gradient = _step(rough, batch, bf16=True)
    expected, expected_gradient = _step(exact, batch)
    assert loss == pytest.approx(expected, rel=0.05, abs=0.05)
    assert float(torch.nn.functional.cosine_similarity(gradient, expected_gradient, dim=0)) > 0.9
    assert all(parameter.dtype == torch.float32 for parameter in rough.parameters())


@pytest.mark.parametrize("name", [name for name in METHODS if "cnn" in method_class(name).backbone_kinds])
def test_networks_stay_channels_last(name: str, device: str) -> None:
    if device == "cpu" and (name, "cnn") not in FEW:
        pytest.skip("the same networks")
    method = _build(name, "cnn", device)
    formats: list[bool] = []

    def look(module: nn.Module, inputs: Any, output: Tensor) -> None:
        wide = min(output.shape[1:]) > 1  # otherwise the strides are those of both layouts
        formats.append(not wide or output.is_contiguous(memory_format=torch.channels_last))

    for module in method.modules():
        kept = (
            isinstance(module, nn.Conv2d)
            and module.groups == 1
            and not (device == "cpu" and isinstance(module, NarrowConv2d))
        )
        if kept:
            module.register_forward_hook(look)
            wide = min(module.weight.shape[1:]) > 1
            assert not wide or module.weight.is_contiguous(memory_format=torch.channels_last)
    method(_moved(make_batch(method), device), make_step(0.3)).loss.backward()
    assert formats and all(formats)


@pytest.fixture(scope="module")
def shapes() -> Dataset:
    return load_dataset(_experiment("simclr").dataset, None)


def _experiment(name: str, **settings: Any) -> Experiment:
    backbone = SMALL["cnn" if "cnn" in method_class(name).backbone_kinds else "vit"]
    overrides = {"blocks": 1} if name == "data2vec" else {}
    plain = {
        "name": "tiny",
        "dataset": {"name": "shapes", "shapes_train": 80, "shapes_test": 10},
        "backbone": backbone.model_dump(exclude_defaults=True),
        "budget": {"steps": 10},
        "batch_size": 16,
        "precision": "32",
        "entries": [{"method": name, "overrides": overrides}],
        **settings,
    }
    return Experiment.model_validate(plain)


@pytest.fixture
def make_training(shapes: Dataset) -> Callable[..., Training]:
    """Makes the training of a method on a device; settings replace those of the experiment."""

    def make(name: str, device: str, **settings: Any) -> Training:
        ranks = Ranks(torch.device(device, 0) if device == "cuda" else torch.device(device))
        experiment = _experiment(name, **settings)
        (spec,) = plan_runs(experiment, resolve_entries(experiment, Path("tiny.yaml")), shapes, ranks.device)
        return build_training(spec, build_on_device(spec, shapes, ranks), shapes, ranks, Ledger())

    return make


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_the_host_never_waits_inside_a_step(
    name: str, precision: str, device: str, make_training: Callable[..., Training]
) -> None:
    if precision == "bf16" and device == "cpu":
        pytest.skip("the same code")
    training = make_training(name, device, precision=precision)
    training.method.train()
    for _ in range(2):  # allocates, chooses algorithms, makes the optimizer's state
        run_step(training, 0.3)
    if device == "cpu":
        batches: Any = training.batches
        on_device([*training.method.parameters(), *training.method.buffers(), batches._pixels, batches._labels_N])
    with without_waiting(device):
        run_step(training, 0.3)


def test_the_host_never_waits_for_the_masked_dense_encoder(device: str, make_training: Callable[..., Training]) -> None:
    if device == "cpu":
        pytest.skip("there it counts visible positions, which costs less")
    entry = {"method": "cnn_jepa", "overrides": {"encoder": "masked_dense"}}
    training = make_training("cnn_jepa", device, entries=[entry])
    run_step(training, 0.3)
    with without_waiting(device):
        run_step(training, 0.3)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_the_host_never_waits_where_gradients_are_clipped_and_applied(
    optimizer: str, device: str, make_training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"optimizer": {"name": optimizer, "lr": 0.1, "weight_decay": 0.01, "clip": 3.0}}
    training = make_training("simclr", device, entries=[{"method": "simclr", "overrides": overrides}])
    run_step(training, 0.3)
    done: list[str] = []

    def watched(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with without_waiting(device, draws=False):
                done.append(name)
                return work(*arguments, **options)

        return call

    for owner, name in ((training.fabric, "clip_gradients"), (training.optimizer.optimizer, "step")):
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    run_step(training, 0.3)
    assert done == ["clip_gradients", "step"]


def test_a_wait_is_found(device: str) -> None:
    values, target = torch.arange(4.0, device=device), torch.device(device)
    on_device([values])
    waits: dict[str, Callable[[], object]] = {
        "reads": lambda: float(values.sum() * 2),
        "chooses": lambda: values[values > 1],
        "counts": lambda: (values > 1).nonzero(),
        "sends": lambda: torch.ones(3).to(target),
        "makes": lambda: torch.tensor([1.0, 2.0], device=target),
    }
    for work in waits.values():
        with (
            pytest.raises((AssertionError, RuntimeError), match=r"host would wait|synchroniz"),
            without_waiting(device),
        ):
            work()
    with without_waiting(device):
        assert torch.ones(3).to(target, non_blocking=True).add(1).shape == (3,)
        assert values.index_select(0, torch.tensor([1]).to(target, non_blocking=True)).shape == (1,)
    with pytest.raises((AssertionError, RuntimeError)), without_waiting(device, draws=False):
        values.sum().item()


@pytest.fixture
def lone_group(device: str) -> Iterator[None]:
    """A group of this process alone, on NCCL or on gloo."""
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["simclr", "vicreg", "cnn_jepa"])
def test_a_group_of_one_process_trains_as_no_group(name: str, device: str, lone_group: None) -> None:
    if device == "cpu" and name != "vicreg":
        pytest.skip("tests of several processes have them all")
    alone, member = _build(name, "cnn", device), _build(name, "cnn", device)
    batch, step = _moved(make_batch(alone), device), make_step(0.3)
    fields = (step.progress, step.index, step.generator)
    wrapped = DistributedDataParallel(Objective(member), broadcast_buffers=False, find_unused_parameters=False)
    loss, _ = wrapped(batch.views, batch.labels, batch.sample_ids, batch.boxes, *fields)
    loss.backward()
    expected = alone(batch, make_step(0.3)).loss
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    gradients = zip(member.named_parameters(), alone.parameters(), strict=True)
    for (path, ours), theirs in gradients:
        if theirs.grad is not None:
            assert ours.grad is not None
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=1e-4, msg=path)


def test_peak_memory_is_that_of_the_step(device: str) -> None:
    size = 256 * 2**20
    memory = PeakMemory(torch.device(device))
    held = torch.ones(size // 4, device=device)
    del held
    growth = memory.growth()
    if growth is None:
        pytest.skip("this system does not say")
    assert size * 0.9 < growth < size * 1.5


def test_the_sparse_encoder_needs_less_memory_than_the_masked_dense_one(device: str) -> None:
    if device == "cpu":
        pytest.skip("perf/sparse_encoder.py measures it, in processes of their own")
    peaks = {}
    for encoder in ("sparse", "masked_dense"):
        method = build_method(method_class("cnn_jepa"), SMALL["cnn"], {"encoder": encoder}).to(device)
        batch = _moved(make_batch(method, images=256), device)
        memory = PeakMemory(torch.device(device))
        method(batch, make_step(0.3)).loss.backward()
        peaks[encoder] = memory.growth()
        del method, batch
    assert peaks["sparse"] < peaks["masked_dense"]


def test_a_state_moves_between_devices(device: str) -> None:
    there = _build("byol", "cnn", device)
    state = copy.deepcopy({path: value.cpu() for path, value in there.state_dict().items()})
    here = build_method(method_class("byol"), SMALL["cnn"], {}, seed=1)
    here.load_state_dict(state)
    batch = make_batch(here)
    expected, _ = _step(there, _moved(batch, device))
    assert _step(here, batch)[0] == pytest.approx(expected, rel=1e-3, abs=1e-4)


# Last, because it takes longest: a stay on a GPU may end before.
@pytest.mark.parametrize(("name", "kind", "networks"), FASTER)
def test_compiled_networks_and_graphs_give_the_same_steps(name: str, kind: str, networks: Any, device: str) -> None:
    if device == "cpu" and kind == "cnn":
        pytest.skip("tests/unit/benchmark/training/test_acceleration.py has them")
    plain, fast = _build(name, kind, device), _build(name, kind, device)
    spec = AccelerationSpec(networks=networks)
    accelerate(fast, spec, backend="inductor" if device == "cuda" else "aot_eager")
    batch = _moved(make_batch(plain), device)
    for _ in range(4 if device == "cuda" else 1):  # a graph is recorded in its second step, and replayed after it
        begin_step(spec)
        loss, gradient = _step(fast, batch)
        expected, expected_gradient = _step(plain, batch)
        assert loss == pytest.approx(expected, rel=1e-2, abs=1e-3)
        assert _distance(gradient, expected_gradient) < 0.05
        for method in (plain, fast):
            method.zero_grad(set_to_none=True)
