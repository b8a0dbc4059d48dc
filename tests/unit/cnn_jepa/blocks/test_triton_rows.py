"""The Triton kernel, run by Triton's interpreter on a CPU and compiled on a GPU, against torch's operations."""

from __future__ import annotations

import copy
import functools
import importlib
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from cnn_jepa import MaskSpec, SparseEncoder, sample_masks
from cnn_jepa.blocks.columns import columns
from cnn_jepa.blocks.gather import gather, sum_reads
from cnn_jepa.blocks.tiles import pool, tiles, windows_form
from cnn_jepa.tracing import conv_reach
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("triton")
_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ("cpu", pytest.param("cuda", marks=[pytest.mark.cuda, _NO_GPU]))
MODULE = "cnn_jepa.blocks.triton_rows"


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """On a CPU Triton decides when the kernel is defined that it is interpreted."""
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    if request.param == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    else:
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    yield request.param
    sys.modules.pop(MODULE, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("rows", "channels", "reads"), [(5, 3, 1), (40, 130, 4), (1, 1, 9), (700, 16, 2)])
def test_it_is_torchs(rows: int, channels: int, reads: int, dtype: torch.dtype, device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(rows, channels, generator=generator).to(dtype)
    index = torch.randint(rows + 2, (33,), generator=generator)
    there, where = values.to(device), index.to(device)
    for outside in (0.0, 2.5, -math.inf):
        got = gather(there, where, outside, "triton")
        assert got.dtype == dtype and torch.equal(got.cpu(), gather(values, index, outside))
    readers = torch.randint(rows + 1, (11 * reads,), generator=generator)
    got = sum_reads(there, readers.to(device), reads, "triton")
    expected = sum_reads(values.double(), readers, reads)
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(got.cpu().double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "sums"), [("bf16", "float32"), ("fp32", "float32"), ("fp64", "float64")])
def test_it_compiles_for_a_gpu_where_there_is_none(dtype: str, sums: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To machine code of compute capability 9.0: what Triton's interpreter lets pass, its compiler may refuse."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = importlib.import_module(MODULE)._gather_sum
    numbers = dict.fromkeys(("total", "count", "channels"), "i32")
    fixed = {"READS": 4, "ROWS": 16, "WIDTH": 128, "SUMS": getattr(triton.language, sums)}
    types = {"values": f"*{dtype}", "index": "*i64", "made": f"*{dtype}", **numbers, "outside": "fp32"}
    source = ASTSource(kernel, {**types, **dict.fromkeys(fixed, "constexpr")}, fixed)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert compiled.asm["cubin"] and "atom" not in compiled.asm["ptx"]


def test_nothing_to_gather(device: str) -> None:
    values = torch.ones(0, 4, device=device)
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    assert gather(values, nothing, kernels="triton").shape == (0, 4)
    only_hidden = torch.tensor([0, 1], device=device)
    assert gather(values, only_hidden, 3.0, "triton").tolist() == [[0.0] * 4, [3.0] * 4]


def test_rows_that_are_not_contiguous(device: str) -> None:
    values = torch.arange(12.0).view(3, 4).t().to(device)
    index = torch.tensor([3, 0], device=device)
    assert gather(values, index, kernels="triton").tolist() == [[3.0, 7.0, 11.0], [0.0, 4.0, 8.0]]


MODULES = [
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False),
    nn.Conv2d(4, 6, 7, padding=3, stride=2),
    nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    nn.Conv2d(4, 6, (1, 3), padding=(0, 1)),
    nn.MaxPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
]


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_windows_and_their_gradients_are_those_of_whole_maps(blocks: Any, module: nn.Module, side: int) -> None:
    """By the same index, with torch's operations: the index is what this holds."""
    work = tiles if isinstance(module, nn.Conv2d) else pool
    form = windows_form(conv_reach(module), "triton", convolution=work is tiles)
    blocks.assert_as_on_maps(module, side, work, form)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_by_the_kernel_they_are_too(blocks: Any, module: nn.Module, device: str) -> None:
    if device == "cuda":
        pytest.skip("the encoder below runs there")
    work = tiles if isinstance(module, nn.Conv2d) else pool
    form = windows_form(conv_reach(module), "triton", convolution=work is tiles)
    blocks.assert_as_on_maps(module, 4, functools.partial(work, kernels="triton"), form)
    if isinstance(module, nn.Conv2d) and module.stride == (1, 1) and module.kernel_size == (3, 3):

        def as_columns(conv: Any, given: Any, reach: Any, index: Any) -> Any:
            return columns(conv, given, index, "triton")

        blocks.assert_as_on_maps(module, 2, as_columns, "columns")


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [BackboneSpec(name="resnet18", stem="small", width=8), BackboneSpec(name="resnet18", width=8)], ids=str
)
def test_the_encoder_gives_the_same_features_and_gradients(spec: BackboneSpec, device: str) -> None:
    torch.manual_seed(0)
    size = 4 * spec.stride
    network = build_backbone(spec, size).net
    images = torch.randn(3, 3, size, size)
    masks = sample_masks(MaskSpec(strategy="random", mask_ratio=0.5), 3, (4, 4), torch.Generator().manual_seed(0))
    outcomes = []
    for kernels, where in (("torch", "cpu"), ("triton", device)):
        own = copy.deepcopy(network).to(where)
        encoder = SparseEncoder(own, spec.stride)
        encoder.kernels = kernels  # type: ignore[assignment]
        features = encoder(images.to(where), masks.to(where))
        features.square().mean().backward()
        outcomes.append((features.detach().cpu(), torch.cat([p.grad.flatten().cpu() for p in own.parameters()])))
    (expected, expected_gradient), (features, gradient) = outcomes
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert float((gradient - expected_gradient).norm() / expected_gradient.norm()) < 1e-3
