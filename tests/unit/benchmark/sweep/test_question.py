"""What question a study answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = "cnn_jepa.predictor_depth"


def test_another_question_under_the_same_name_is_refused(open_sweep: Callable[..., Any]) -> None:
    open_sweep()
    for changes, message in (
        ({"seeds": [0, 1, 2]}, r"seeds is \[0, 1\] there and \[0, 1, 2\] here"),
        ({"parameters": {DEPTH: {"values": [1, 2]}}}, "parameters.cnn_jepa.predictor_depth.values"),
        ({"settings": {"cnn_jepa.kernel_size": 5}}, "first.kernel_size is 3 there and 5 here"),
        ({"settings": {"batch_size": 8}}, "experiment.batch_size is 16 there and 8 here"),
        ({"settings": {"dataset.shapes_seed": 1}}, "experiment.dataset.shapes_seed is None there and 1 here"),
        ({"sampler": "random", "trials": 3}, "sampler"),
    ):
        with pytest.raises(UserError, match=f"holds another study .*{message}"):
            open_sweep(**changes)


def test_a_study_from_before_an_option_came_is_gone_on_with(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    study = sweep.studies[0].study
    asked = dict(study.user_attrs["asked"])
    for part, key in (("first", "sync_batch_norm"), ("backbone", "patch_size"), ("first", "optimizer")):
        asked[part] = {name: value for name, value in asked[part].items() if name != key}
    asked["parameters"] = {"cnn_jepa.kernel_size": {"values": [3, 5]}}
    optimizer = dict(study.user_attrs["asked"]["first"]["optimizer"])
    del optimizer["clip"]
    asked["first"]["optimizer"] = optimizer
    study.set_user_attr("asked", asked)
    open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    # What the option is set to is still a part of the question.
    with pytest.raises(UserError, match=r"first\.sync_batch_norm is False there and True here"):
        study.set_user_attr("asked", asked)
        open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}}, settings={"cnn_jepa.sync_batch_norm": True})
