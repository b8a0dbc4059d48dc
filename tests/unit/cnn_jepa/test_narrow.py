"""Narrow convolutions on CPUs: the backward pass that ends torch's own process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from cnn_jepa.narrow import CHANNELS, NarrowConv2d, make_narrow_safe
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

# One step of a network of 8 channels at 64 px: as a baseline has it, masked-dense, and on visible blocks.
STEP = """
import torch
from cnn_jepa import MaskedDenseEncoder, SparseEncoder
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
torch.set_num_threads(1)
images = torch.randn(4, 3, 64, 64).to(memory_format=torch.channels_last)
context = torch.rand(4, 8, 8) < 0.5
for wrap in (None, MaskedDenseEncoder, SparseEncoder):
    net = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 64).net
    net = net.train().to(memory_format=torch.channels_last)
    features = net(images) if wrap is None else wrap(net, 8)(images, context)
    features.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())
print("done")
"""
# The fault itself: torch's own layer, at the first size and width where it was seen to end the process.
FAULT = """
import torch
conv = torch.nn.Conv2d(8, 16, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
images = torch.randn(4, 8, 64, 64).to(memory_format=torch.channels_last)
conv(images).sum().backward()
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_step_of_a_narrow_network_ends_well() -> None:
    done = _python(STEP)
    assert (done.returncode, done.stdout) == (0, "done\n"), (done.returncode, done.stderr[-400:])


@pytest.mark.slow
def test_torch_itself_still_fails_where_this_one_is_needed() -> None:
    code = _python(FAULT).returncode
    if code == 0:
        pytest.skip("this torch or CPU computes it: cnn_jepa/narrow.py may no longer be needed")
    assert code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


@pytest.mark.parametrize(("width", "narrow"), [(8, 1), (CHANNELS - 1, 1), (CHANNELS, 0)])
def test_only_convolutions_that_need_it_are_replaced(width: int, narrow: int) -> None:
    net = build_backbone(BackboneSpec(name="resnet18", stem="small", width=width), 32).net
    names = [name for name, module in net.named_modules() if isinstance(module, NarrowConv2d)]
    assert names == ["layer2.0.downsample.0"][:narrow]  # the wider ones have twice as many channels and more


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_torchs_own(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    own = nn.Conv2d(8, 4, 1, stride=2)
    images = torch.randn(2, 8, 16, 16)
    expected = own(images)
    expected.square().sum().backward()
    narrow = nn.Sequential(nn.Conv2d(8, 4, 1, stride=2))
    narrow[0].load_state_dict(own.state_dict())
    make_narrow_safe(narrow.modules())
    narrow = narrow.to(memory_format=layout)
    found = narrow(images.to(memory_format=layout))
    found.square().sum().backward()
    assert isinstance(narrow[0], NarrowConv2d) and torch.equal(found, expected)
    torch.testing.assert_close(narrow[0].weight.grad, own.weight.grad)
