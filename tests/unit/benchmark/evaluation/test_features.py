from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from benchmark.evaluation.features import extract, feature_std, full_precision, rankme, recalibrated

CPU = torch.device("cpu")


def state(encoder):
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def assert_unchanged(encoder, before):
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny"])
def test_features_do_not_depend_on_the_batch_size(make_encoder, noise, normalise, name):
    encoder = make_encoder(name)
    small = extract(encoder, noise, normalise, CPU, batch_size=4)
    large = extract(encoder, noise, normalise, CPU, batch_size=64)
    assert small.shape == (33, encoder.info.dimension)
    assert small.dtype == torch.float32
    assert not small.requires_grad
    torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        direct = encoder.eval().features(normalise(noise.pixels))
    torch.testing.assert_close(large, direct, rtol=1e-4, atol=1e-5)


def test_extraction_restores_every_training_flag_and_leaves_the_statistics(make_encoder, noise, normalise):
    encoder = make_encoder().train()
    encoder.backbone.net.layer1.eval()
    flags = [part.training for part in encoder.modules()]
    before = state(encoder)
    features = extract(encoder, noise, normalise, CPU)
    assert [part.training for part in encoder.modules()] == flags
    assert_unchanged(encoder, before)
    torch.testing.assert_close(features, extract(encoder.eval(), noise, normalise, CPU))


def test_training_flags_come_back_after_a_failure(make_encoder, noise):
    encoder = make_encoder().train()

    def broken(pixels):
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        extract(encoder, noise, broken, CPU)
    assert all(part.training for part in encoder.modules())


def test_features_are_float32_even_inside_an_autocast(make_encoder, noise, normalise):
    encoder = make_encoder().eval()
    exact = extract(encoder, noise, normalise, CPU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extract(encoder, noise, normalise, CPU), exact)


def test_full_precision_restores_what_training_had_allowed():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_no_images_are_refused(make_encoder, stack, normalise):
    empty = stack(torch.zeros(0, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="no images"):
        extract(make_encoder(), empty, normalise, CPU)
    with pytest.raises(ValueError, match="no images"):
        recalibrated(make_encoder(recalibrate=True), empty, normalise, CPU)


@pytest.mark.parametrize("batch_size", [64, 11, 16])
def test_recalibration_takes_mean_and_variance_over_all_positions(make_encoder, noise, normalise, batch_size):
    encoder = make_encoder(recalibrate=True).train()
    encoder.backbone.net.bn1.running_mean.fill_(5.0)
    before = state(encoder)
    twin = recalibrated(encoder, noise, normalise, CPU, batch_size=batch_size)
    with torch.no_grad():
        maps = encoder.backbone.net.conv1(normalise(noise.pixels)).numpy().astype(np.float64)
    norm = twin.backbone.net.bn1
    # Batches of equal size: the mean is exact whatever their number, the variance is with one batch.
    np.testing.assert_allclose(norm.running_mean, maps.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    exact = 1e-4 if batch_size == 64 else 5e-3
    np.testing.assert_allclose(norm.running_var, maps.var(axis=(0, 2, 3), ddof=1), rtol=exact)
    assert norm.momentum == encoder.backbone.net.bn1.momentum == 0.1
    assert not any(part.training for part in twin.modules())
    assert all(part.training for part in encoder.modules())
    assert_unchanged(encoder, before)
    assert sorted(noise.reads) == list(range(33))


def test_recalibration_reaches_the_last_layer(make_encoder, noise, normalise):
    encoder = make_encoder(recalibrate=True)
    twin = recalibrated(encoder, noise, normalise, CPU)
    seen = []
    last = twin.backbone.net.layer4[-1].bn2
    last.register_forward_hook(lambda module, args, output: seen.append(args[0].detach()))
    extract(twin, noise, normalise, CPU)
    mean = seen[0].mean(dim=(0, 2, 3))
    # Not equal: a norm keeps the unbiased variance of a batch and normalises it by the biased one.
    assert float((mean - last.running_mean).norm()) < 0.03 * float(mean.norm())


def test_recalibration_draws_a_fixed_part_from_everywhere(make_encoder, noise, normalise):
    encoder = make_encoder(recalibrate=True)
    first = recalibrated(encoder, noise, normalise, CPU, limit=12)
    drawn = noise.reads.copy()
    assert len(set(drawn)) == 12
    assert max(drawn) > 12
    again = recalibrated(encoder, noise, normalise, CPU, limit=12)
    assert torch.equal(first.backbone.net.bn1.running_var, again.backbone.net.bn1.running_var)


def test_an_encoder_without_need_is_handed_back(make_encoder, noise, normalise):
    for encoder in (make_encoder(), make_encoder("vit_tiny", recalibrate=True)):
        assert recalibrated(encoder, noise, normalise, CPU) is encoder
    assert noise.reads == []


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_rankme_of_known_spectra(shape):
    rows, columns = shape
    rank = min(shape)
    left = torch.linalg.qr(torch.randn(rows, rank, generator=torch.Generator().manual_seed(0)).double())[0]
    right = torch.linalg.qr(torch.randn(columns, rank, generator=torch.Generator().manual_seed(1)).double())[0]

    def with_spectrum(*values):
        spectrum = torch.zeros(rank, dtype=torch.float64)
        spectrum[: len(values)] = torch.tensor(values, dtype=torch.float64)
        return rankme(((left * spectrum) @ right.T).float())

    assert with_spectrum(3.0, 3.0, 3.0, 3.0) == pytest.approx(4.0, rel=1e-3)
    assert with_spectrum(5.0) == pytest.approx(1.0, rel=1e-3)
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert with_spectrum(2.0, 1.0) == pytest.approx(math.exp(entropy), rel=1e-3)


def test_feature_std_of_known_directions():
    dimension = 8
    axes = torch.eye(dimension).repeat(3, 1)
    assert feature_std(axes * 7.0) == pytest.approx(math.sqrt(1 - 1 / dimension))
    assert feature_std(torch.ones(20, dimension)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("measure", [rankme, feature_std])
def test_features_that_are_not_finite_are_refused(measure):
    features = torch.randn(5, 3)
    features[2, 1] = math.nan
    features[4, 0] = math.inf
    before = copy.deepcopy(features)
    with pytest.raises(ValueError, match="2 of 5 feature vectors are not finite"):
        measure(features)
    assert torch.equal(features.nan_to_num(), before.nan_to_num())
    with pytest.raises(ValueError, match="no features"):
        measure(torch.zeros(0, 3))


def test_recalibration_waits_for_no_other_process(make_encoder, noise, normalise):
    plain, encoder = make_encoder(recalibrate=True), make_encoder(recalibrate=True)
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(encoder.backbone.net)
    expected, twin = (recalibrated(one, noise, normalise, CPU) for one in (plain, encoder))
    assert any(isinstance(part, torch.nn.SyncBatchNorm) for part in encoder.modules())
    assert not any(isinstance(part, torch.nn.SyncBatchNorm) for part in twin.modules())
    assert not any(part.training for part in twin.modules())
    for (name, value), other in zip(expected.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_known_features_are_taken_over_in_whole_batches_and_the_rest_is_computed(make_encoder, noise, normalise):
    encoder = make_encoder()
    whole = extract(encoder, noise, normalise, CPU, batch_size=8)
    noise.reads.clear()
    seen = []
    known = whole[:20].clone()
    known[:16] += 1.0  # to see what is taken over
    features = extract(
        encoder, noise, normalise, CPU, batch_size=8, known=known, watch=lambda stage, more: seen.append((stage, more))
    )
    assert torch.equal(features[:16], whole[:16] + 1.0) and torch.equal(features[16:], whole[16:])
    assert noise.reads == list(range(16, 33))
    assert seen == [("features", 8), ("features", 8), ("features", 1)]
    noise.reads.clear()
    assert torch.equal(extract(encoder, noise, normalise, CPU, known=whole), whole) and noise.reads == []


def test_images_that_cannot_be_read_ahead_end_the_extraction(make_encoder, noise, normalise):
    def read(indices):
        if int(indices[0]) >= 8:
            raise OSError("unreadable")
        return noise.pixels[indices]

    noise.read = read
    with pytest.raises(OSError, match="unreadable"):
        extract(make_encoder(), noise, normalise, CPU, batch_size=4)


def test_a_recalibrated_encoder_is_not_recalibrated_again(make_encoder, noise, normalise):
    twin = recalibrated(make_encoder(recalibrate=True), noise, normalise, CPU)
    assert recalibrated(twin, noise, normalise, CPU) is twin
