"""Steps of a network: what they read, what they write to, and how they are run."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnn_jepa.program import Program, Reach, Ref, Step, adopt, arguments, fetch, mutates, run


@pytest.mark.parametrize(
    ("reach", "after", "local"),
    [
        (Reach((3, 3), 1, (1, 1), (1, 1)), (1, 1), False),
        (Reach((3, 3), 2, (1, 1), (1, 1)), (0, 0), False),
        (Reach((7, 7), 2, (3, 3), (1, 1)), (2, 2), False),
        (Reach((3, 3), 1, (2, 2), (2, 2)), (2, 2), False),
        (Reach((1, 1), 2, (0, 0), (1, 1)), (-1, -1), True),
        (Reach((2, 2), 2, (0, 0), (1, 1)), (0, 0), True),
        (Reach((1, 3), 1, (0, 1), (1, 1)), (0, 1), False),
    ],
)
def test_how_far_an_operation_reads(reach: Reach, after: tuple[int, int], local: bool) -> None:
    assert (reach.after(0), reach.after(1)) == after
    assert reach.is_local == local


def test_an_adopted_network_keeps_its_names() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network.register_parameter("scale", nn.Parameter(torch.ones(1)))
    network.register_buffer("kept", torch.zeros(1))
    network.register_buffer("left", torch.zeros(1), persistent=False)
    module = nn.Module()
    adopt(module, network)
    assert module.state_dict().keys() == network.state_dict().keys()
    assert {id(p) for p in module.parameters()} == {id(p) for p in network.parameters()}
    assert fetch(module, "0.weight") is network[0].weight
    assert "left" in dict(module.named_buffers())


def test_steps_run_as_the_network_would() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    values = [torch.tensor([[-1.0, 2.0]]), torch.tensor([[1.0, 1.0]])]
    assert run(network, Step("function", operator.add, (Ref(0), Ref(1)), {}), values).tolist() == [[0.0, 3.0]]
    assert run(network, Step("function", F.relu, (Ref(0),), {}), values).tolist() == [[0.0, 2.0]]
    assert run(network, Step("method", "add", (Ref(0), Ref(1)), {"alpha": 2}), values).tolist() == [[1.0, 4.0]]
    assert torch.equal(run(network, Step("module", "0", (Ref(1),), {}), values), network(values[1]))
    assert run(network, Step("attribute", "0.bias", (), {}), values) is network[0].bias
    assert arguments(Step("method", "add", (Ref(1), 3), {"other": Ref(0)}), values) == (
        [values[1], 3],
        {"other": values[0]},
    )


@pytest.mark.parametrize(
    ("step", "writes"),
    [
        (Step("module", "0", (), {}), True),
        (Step("module", "1", (), {}), False),
        (Step("function", operator.iadd, (), {}), True),
        (Step("function", operator.add, (), {}), False),
        (Step("function", F.relu, (), {"inplace": True}), True),
        (Step("method", "mul_", (), {}), True),
        (Step("method", "mul", (), {}), False),
    ],
)
def test_which_steps_write_to_their_input(step: Step, writes: bool) -> None:
    assert mutates(nn.Sequential(nn.ReLU(inplace=True), nn.ReLU()), step) == writes


def test_the_stride_of_a_program_is_that_of_its_result() -> None:
    steps = (Step("input", "x", (), {}, stride=1), Step("module", "0", (Ref(0),), {}, stride=8))
    assert Program(steps).stride == 8
