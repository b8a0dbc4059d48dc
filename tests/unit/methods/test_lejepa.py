"""LeJEPA: SIGReg against lightly's and against the integral it stands for; the loss by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss
from scipy.integrate import quad

from methods.contract import make_batch, make_step
from methods.lejepa import sigreg

_SMALL = {"projector_hidden": 32, "output_dim": 8, "directions": 16}


def test_sigreg_is_lightlys(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(3, 20, 8)
    directions = torch.nn.functional.normalize(torch.randn(8, 16), dim=0)
    theirs = SIGReg(knots=17, t_max=3.0, num_vectors=16)
    monkeypatch.setattr(theirs, "_generate_unit_vectors", lambda *_: directions)
    torch.testing.assert_close(sigreg(values @ directions, 17, 3.0), theirs(values))


def test_sigreg_is_the_epps_pulley_integral() -> None:
    sample = torch.randn(12, generator=torch.Generator().manual_seed(0)).double()

    def integrand(t: float) -> float:
        real, imaginary = float((sample * t).cos().mean()), float((sample * t).sin().mean())
        return ((real - math.exp(-t * t / 2)) ** 2 + imaginary**2) * math.exp(-t * t / 2)

    exact = len(sample) * quad(integrand, -6, 6)[0]
    assert sigreg(sample.float().reshape(1, 12, 1), 400, 6.0).item() == pytest.approx(exact, rel=1e-3)


def test_a_gaussian_has_less_of_it_than_what_collapsed() -> None:
    gaussian = torch.randn(1, 256, 4, generator=torch.Generator().manual_seed(0))
    values = [sigreg(sample, 17, 3.0).item() for sample in (gaussian, 0.01 * gaussian, torch.zeros(1, 256, 4))]
    assert values[0] < 4.0 and min(values[1:]) > 50.0


def test_the_loss_is_the_weighted_sum(lab: Any) -> None:
    method = lab.build("lejepa", regularisation=0.2, **_SMALL)
    batch = make_batch(method)
    with torch.no_grad():
        projected = torch.stack([method.projector(method.backbone.features(view)) for view in batch.views])
        output = lab.build("lejepa", regularisation=0.2, **_SMALL)(batch, make_step(seed=3))
    drawn = torch.randn(8, 16, generator=torch.Generator().manual_seed(3))
    gaussian = sigreg(projected @ torch.nn.functional.normalize(drawn, dim=0), 17, 3.0)
    prediction = lejepa_invariance_loss(all_proj=projected, global_proj=projected[:2])
    torch.testing.assert_close(output.logs["prediction"], prediction)
    torch.testing.assert_close(output.loss, 0.8 * prediction + 0.2 * gaussian)
