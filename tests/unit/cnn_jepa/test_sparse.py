"""The sparse encoder gives the results of the masked-dense one, for every network, mask and mode."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import cnn_jepa.sparse
from cnn_jepa import MaskedDenseEncoder, Masks, MaskSpec, SparseEncoder, sample_masks
from methods.backbones import BackboneSpec

Network = Callable[[BackboneSpec | None, int], nn.Module]

# Backbone (None: a small ConvNeXt), pixels per cell.
NETWORKS = [
    pytest.param(BackboneSpec(name="resnet18", stem="small", width=8), 8, id="resnet18-small"),
    pytest.param(BackboneSpec(name="resnet18", width=8), 32, id="resnet18"),
    pytest.param(BackboneSpec(name="resnet50", stem="small", width=8), 8, id="resnet50-small"),
    pytest.param(BackboneSpec(name="resnet50", width=8), 32, id="resnet50"),
    pytest.param(BackboneSpec(name="wide_resnet50_2", width=8), 32, id="wide_resnet50_2"),
    pytest.param(None, 32, id="convnext"),
]
ON_GRIDS = [
    pytest.param(*network.values, grid, id=f"{network.id}-{name}")
    for network in NETWORKS
    for name, grid in (("square", (3, 3)), ("oblong", (2, 4)))
    if name == "oblong" or network.id in ("resnet18-small", "resnet18", "convnext")
]
# As published: slow in float64.
ON_GRIDS.append(
    pytest.param(
        BackboneSpec(name="convnext_tiny"),
        32,
        (2, 4),
        id="convnext_tiny",
        marks=[pytest.mark.slow, pytest.mark.thorough],
    )
)
SLIM = BackboneSpec(name="resnet18", stem="small", width=8)


def contexts(batch: int, grid: tuple[int, int]) -> dict[str, Tensor]:
    """Masks of all kinds; `(batch, *grid)` each."""
    generator = torch.Generator().manual_seed(3)
    shape = (batch, *grid)
    cells = grid[0] * grid[1]
    single = torch.zeros(batch, cells, dtype=torch.bool)
    single[torch.arange(batch), torch.randint(cells, (batch,), generator=generator)] = True
    counts = torch.rand(shape, generator=generator) < torch.linspace(0.2, 0.9, batch).view(-1, 1, 1)
    empty = torch.rand(shape, generator=generator) < 0.5
    empty[0] = False
    spec = MaskSpec(strategy="multi_block", num_blocks=2, block_sizes=((1, 1), (1, 2)), same_size=False, min_context=1)
    return {
        "random": torch.rand(shape, generator=generator) < 0.5,
        "multi_block": sample_masks(spec, batch, grid, generator).context_Bhw,
        "one cell": single.view(shape),
        "everything": torch.ones(shape, dtype=torch.bool),
        "different counts": counts,
        "an image with nothing": empty,
    }


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "patch", "grid"), ON_GRIDS)
def test_equals_masked_dense(
    make_network: Network,
    assert_equal: Callable[..., None],
    spec: BackboneSpec | None,
    patch: int,
    grid: tuple[int, int],
) -> None:
    network = make_network(spec, 96 if patch == 32 else 24).double()
    images = torch.randn(3, 3, grid[0] * patch, grid[1] * patch, dtype=torch.float64)
    for name, context in contexts(3, grid).items():
        for training in (True, False) if name in ("random", "an image with nothing") else (True,):
            try:
                assert_equal(network, patch, images, context, training)
            except AssertionError as error:
                raise AssertionError(f"{name}, training={training}: {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("way", ["tiles", "columns", "taps", "dense"])
def test_every_way_of_computing_gives_the_same(
    make_network: Network, assert_equal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(
        cnn_jepa.sparse, "choose", lambda *given: "taps" if way == "columns" and given[2].stride[0] > 1 else way
    )
    images = torch.randn(5, 3, 32, 32, dtype=torch.float64)
    for name in ("different counts", "an image with nothing"):
        assert_equal(make_network(SLIM, 32).double(), 8, images, contexts(5, (4, 4))[name])


@pytest.mark.parametrize("way", ["tiles", "dense", "depthwise"])
def test_every_way_of_computing_a_depthwise_convolution_gives_the_same(
    assert_equal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(cnn_jepa.sparse, "choose", lambda *_: way)
    wide = nn.Conv2d(8, 8, 7, padding=3, groups=8)
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), wide, nn.BatchNorm2d(8), nn.GELU(), nn.Conv2d(8, 6, 2, 2))
    images = torch.randn(3, 3, 16, 24, dtype=torch.float64)
    assert_equal(network.double(), 8, images, contexts(3, (2, 3))["different counts"])


@pytest.mark.slow
def test_cells_larger_than_the_stride(make_network: Network, assert_equal: Callable[..., None]) -> None:
    images = torch.randn(3, 3, 32, 64, dtype=torch.float64)
    network = make_network(SLIM, 32).double()
    for context in contexts(3, (2, 4)).values():
        assert_equal(network, 16, images, context)
    assert SparseEncoder(network, 16)(images, torch.ones(3, 2, 4, dtype=torch.bool)).shape == (3, 64, 4, 8)


def test_everything_visible_is_the_dense_network(make_network: Network) -> None:
    network = make_network(SLIM, 32).double()
    twin = copy.deepcopy(network)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    got = SparseEncoder(twin, 8)(images, torch.ones(3, 4, 4, dtype=torch.bool))
    expected = network(images)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    expected.square().sum().backward()
    got.square().sum().backward()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "patch"), NETWORKS)
def test_single_precision(
    fresh_network: Network, outcome: Callable[..., Any], spec: BackboneSpec | None, patch: int
) -> None:
    """In float32 within 1e-4 of masked dense; in bf16 the error to float64 is at most 1.5 times that of masked dense.

    With initial weights: with others, gradients of deep networks amplify rounding in both encoders.
    """
    size = 96 if patch == 32 else 32
    network = fresh_network(spec, size)
    images = torch.randn(8, 3, size, size)
    grid = (size // patch, size // patch)
    context = sample_masks(MaskSpec(strategy="random", mask_ratio=0.5), 8, grid, torch.Generator().manual_seed(0))
    exact = outcome(MaskedDenseEncoder, copy.deepcopy(network).double(), patch, images.double(), context)
    dense, sparse = (outcome(kind, network, patch, images, context) for kind in (MaskedDenseEncoder, SparseEncoder))
    errors = sparse.error_to(dense)
    assert max(errors.values()) <= 1e-4, errors
    with torch.autocast("cpu", torch.bfloat16):
        dense, sparse = (outcome(kind, network, patch, images, context) for kind in (MaskedDenseEncoder, SparseEncoder))
    of_dense, of_sparse = dense.error_to(exact), sparse.error_to(exact)
    assert sparse.features.dtype == dense.features.dtype
    for kind, error in of_sparse.items():
        assert error <= 1.5 * of_dense[kind], (kind, of_sparse, of_dense)


def test_the_encoder_has_no_state_of_its_own(make_network: Network) -> None:
    network = make_network(SLIM, 32)
    encoder = SparseEncoder(network, 8)
    assert encoder.state_dict().keys() == network.state_dict().keys()
    assert {id(p) for p in encoder.parameters()} == {id(p) for p in network.parameters()}
    network.load_state_dict(MaskedDenseEncoder(copy.deepcopy(network), 8).state_dict())
    before = dict(vars(encoder))
    images, context = torch.randn(2, 3, 32, 32), torch.ones(2, 4, 4, dtype=torch.bool)
    first = encoder.eval()(images, context)
    assert vars(encoder).keys() == before.keys()
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(twin(images, context), first)


def test_masks_and_their_context_tensor_give_the_same(make_network: Network) -> None:
    encoder = SparseEncoder(make_network(SLIM, 32), 8).eval()
    masks = sample_masks(MaskSpec(strategy="random", mask_ratio=0.5), 3, (4, 4), torch.Generator().manual_seed(0))
    images = torch.randn(3, 3, 32, 32)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    features = encoder(images, masks)
    assert torch.equal(features, encoder(images, masks.context_Bhw))
    torch.testing.assert_close(features, encoder(channels_last, masks))
    assert features.permute(0, 2, 3, 1)[~masks.context_Bhw].abs().max() == 0
    assert features.permute(0, 2, 3, 1)[masks.context_Bhw].abs().max() > 0


@pytest.mark.slow
def test_two_encoders_and_two_batches_at_once(make_network: Network) -> None:
    """Forward passes interleaved, backward passes in another order, and threads."""
    networks = [make_network(SLIM, 32).double() for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, 32, 32, dtype=torch.float64, generator=generator) for n in (3, 5)]
    masks = [contexts(len(images), (4, 4))["random"] for images in batches]

    def alone(network: nn.Module, images: Tensor, context: Tensor) -> list[Tensor]:
        twin = copy.deepcopy(network)
        SparseEncoder(twin, 8)(images, context).square().sum().backward()
        return [p.grad for p in twin.parameters() if p.grad is not None]

    expected = [alone(*case) for case in zip(networks, batches, masks, strict=True)]
    encoders = [SparseEncoder(network, 8) for network in networks]
    outputs = [encoder(*case) for encoder, case in zip(encoders, zip(batches, masks, strict=True), strict=True)]
    for output in outputs:
        output.square().sum().backward()
    for network, grads in zip(networks, expected, strict=True):
        for parameter, grad in zip(network.parameters(), grads, strict=True):
            torch.testing.assert_close(parameter.grad, grad, rtol=1e-10, atol=1e-12)
    twins = [SparseEncoder(copy.deepcopy(network), 8) for network in networks]
    for twin in twins:
        twin.zero_grad()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda *case: case[0](*case[1:]).square().sum().backward(), twins, batches, masks))
    for twin, grads in zip(twins, expected, strict=True):
        for parameter, grad in zip(twin.parameters(), grads, strict=True):
            torch.testing.assert_close(parameter.grad, grad, rtol=1e-10, atol=1e-12)


def test_under_checkpointing(make_network: Network) -> None:
    network = make_network(SLIM, 32).double().eval()
    images, context = torch.randn(3, 3, 32, 32, dtype=torch.float64), contexts(3, (4, 4))["different counts"]
    encoder = SparseEncoder(network, 8)
    grads = []
    for checkpointed in (False, True):
        network.zero_grad()
        call: Any = (encoder, images, context)
        output = torch.utils.checkpoint.checkpoint(*call, use_reentrant=False) if checkpointed else encoder(*call[1:])
        output.square().sum().backward()
        grads.append([p.grad for p in network.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_in_distributed_data_parallel(make_network: Network, tmp_path: Any) -> None:
    network = make_network(SLIM, 32)
    twin = copy.deepcopy(network)
    images, context = torch.randn(4, 3, 32, 32), contexts(4, (4, 4))["random"]
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(SparseEncoder(twin, 8))
        wrapped(images, context).square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    SparseEncoder(network, 8)(images, context).square().sum().backward()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.slow
def test_compiled_once_for_all_masks(make_network: Network) -> None:
    """At most two compilations after the first, for 50 masks with different counts; the same values."""
    compilations = 0

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        nonlocal compilations
        compilations += 1
        return graph.forward

    network = make_network(BackboneSpec(name="resnet18", stem="small", width=16), 32)
    plain, compiled = SparseEncoder(network, 8).eval(), torch.compile(SparseEncoder(network, 8).eval(), backend=backend)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 32, 32)
    first = 0
    for step in range(50):
        masks = sample_masks(MaskSpec(min_context=2), 6, (4, 4), generator)
        got = compiled(images, masks)
        first = compilations if step == 0 else first
        torch.testing.assert_close(got, plain(images, masks), rtol=1e-4, atol=1e-5)
        got.sum().backward()
    assert 0 < first <= compilations <= first + 2


def refused(context: Tensor, images: Tensor, patch: int = 8) -> str:
    encoder = SparseEncoder(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)), patch)
    with pytest.raises(ValueError) as caught:
        encoder(images, context)
    return str(caught.value)


def test_masks_that_do_not_fit_are_refused() -> None:
    images, context = torch.randn(2, 3, 16, 24), torch.ones(2, 2, 3, dtype=torch.bool)
    assert "need (2, 2, 3)" in refused(context[:, :, :2], images)
    assert "boolean (B, h, w), not torch.float32" in refused(context.float(), images)
    assert "boolean (B, h, w)" in refused(context[0], images)
    assert "is on meta, the images are on cpu" in refused(context.to("meta"), images)
    assert "16x24 pixels do not divide into patches of 16" in refused(context, images, 16)
    assert "(B, C, H, W), not (3, 16, 24)" in refused(context, images[0])
    assert "sees 0 visible positions in training; it needs at least 2" in refused(torch.zeros_like(context), images)


def test_one_visible_position_is_too_few_for_batch_norm() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4))
    context = torch.zeros(2, 2, 2, dtype=torch.bool)
    context[0, 0, 0] = True
    images = torch.randn(2, 3, 16, 16)
    for kind in (SparseEncoder, MaskedDenseEncoder):
        with pytest.raises(ValueError, match="sees 1 visible positions"):
            kind(copy.deepcopy(network), 8)(images, context)
        assert kind(copy.deepcopy(network).eval(), 8)(images, context).shape == (2, 4, 2, 2)


def test_nothing_visible_at_all_in_evaluation(make_network: Network) -> None:
    for spec, patch in ((SLIM, 8), (BackboneSpec(name="convnext_tiny"), 32)):
        encoder = SparseEncoder(make_network(spec, 64).eval(), patch)
        grid = (64 // patch, 64 // patch)
        features = encoder(torch.randn(2, 3, 64, 64), torch.zeros(2, *grid, dtype=torch.bool))
        assert features.shape[2:] == grid and not features.any()


@pytest.mark.cuda
def test_on_cuda_without_waiting(make_network: Network) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    network = make_network(SLIM, 32)
    images, masks = torch.randn(8, 3, 32, 32), sample_masks(MaskSpec(min_context=2), 8, (4, 4), torch.Generator())
    expected = SparseEncoder(copy.deepcopy(network).eval(), 8)(images, masks)
    encoder = SparseEncoder(network.cuda().eval(), 8)
    images_cuda, masks_cuda = images.cuda(), masks.to("cuda")
    encoder(images_cuda, masks_cuda)
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = encoder(images_cuda, masks_cuda)
        got.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-3, atol=1e-4)


def test_targets_do_not_change_the_features() -> None:
    """The encoder reads the context only."""
    context = torch.tensor([[[True, False], [False, False]]])
    images = torch.randn(1, 3, 8, 8)
    encoder = SparseEncoder(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), 4)
    with_targets = Masks(context, (~context).unsqueeze(1))
    without = Masks(context, torch.zeros_like(context).unsqueeze(1))
    assert torch.equal(encoder(images, with_targets), encoder(images, without))


@pytest.mark.parametrize("training", [True, False])
def test_maps_of_stages_equal_the_masked_dense_ones(training: bool) -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=0, global_pool="").train(training)
    stages = ("layer1", "layer3")
    images, context = torch.randn(3, 3, 96, 96), torch.rand(3, 3, 3) > 0.4
    context[:, 0, 0] = True
    outcomes = []
    for kind in (SparseEncoder, MaskedDenseEncoder):
        encoder = kind(copy.deepcopy(network), 32, stages)
        maps = encoder.feature_maps(images, context)
        assert [tuple(one.shape) for one in maps] == [(3, 64, 24, 24), (3, 256, 6, 6), (3, 512, 3, 3)]
        sum(one.square().mean() for one in maps).backward()
        outcomes.append([*maps, *(p.grad for p in encoder.parameters())])
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_stage_that_is_none_is_named() -> None:
    network = timm.create_model("resnet18", num_classes=0, global_pool="")
    with pytest.raises(ValueError, match="stage 'layer9' of ResNet: no module of this name is called"):
        SparseEncoder(network, 32, ("layer9",))
