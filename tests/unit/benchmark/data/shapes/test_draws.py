"""Hashed random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.shapes.draws import Draws


def test_draws_are_uniform_and_unrelated() -> None:
    draws = Draws(0, "here", np.arange(4000))
    values = draws.table("a", 4, -1.0, 3.0)
    assert values.min() >= -1.0
    assert values.max() < 3.0
    counts, _ = np.histogram(values, bins=16, range=(-1.0, 3.0))
    assert np.abs(counts / 1000 - 1).max() < 0.15
    other = draws.table("b", 4, -1.0, 3.0)
    related = np.corrcoef(np.concatenate([values, other], axis=1).T) - np.eye(8)
    assert np.abs(related).max() < 0.07


def test_directions_stay_within_their_turn() -> None:
    cosine, sine = Draws(0, "here", np.arange(2000)).direction("turn", 0.125)
    assert cosine.min() >= 0.7071 - 1e-3
    assert sine.min() < -0.69
    assert sine.max() > 0.69
    assert np.allclose(cosine**2 + sine**2, 1.0, atol=1e-5)


def test_numbers_are_the_same_on_every_machine_and_for_every_selection() -> None:
    draws = Draws(0, "here", np.arange(5))
    assert draws.table("a", 2)[0].tolist() == [0.8569523692131042, 0.8228280544281006]
    assert np.array_equal(Draws(0, "here", np.array([4, 1])).table("a", 3)[:, :2], draws.table("a", 2)[[4, 1]])
    assert not np.array_equal(Draws(1, "here", np.arange(5)).uniform("a"), draws.uniform("a"))
    assert not np.array_equal(Draws(0, "there", np.arange(5)).uniform("a"), draws.uniform("a"))


def test_choices_follow_their_weights() -> None:
    choices = Draws(0, "here", np.arange(4000)).choice("kind", (1.0, 0.0, 3.0))
    assert np.bincount(choices, minlength=3) / 4000 == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
