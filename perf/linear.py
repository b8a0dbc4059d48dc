"""The time of the linear probe: all strengths of `linear-v1` against scikit-learn's solver at the same strengths.

Both sides standardise the same synthetic features, in one process with the same threads. Prints both times, their
ratio, and the differences between accuracies at equal strengths.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import TYPE_CHECKING

import torch
from claims import about, claim
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.evaluation.logistic import STRENGTHS, fit

if TYPE_CHECKING:
    from torch import Tensor


def synthetic(rows: int, dimension: int, classes: int) -> tuple[Tensor, Tensor]:
    """Features like a network's: positive, correlated, with a falling spectrum and overlapping classes."""
    draw = torch.Generator().manual_seed(0)
    latent = max(16, dimension // 4)
    centres = 0.35 * torch.randn(classes, latent, generator=draw)
    labels = torch.randint(classes, (rows,), generator=draw)
    spectrum = 3.0 * torch.arange(1, latent + 1).float().rsqrt()
    hidden = (centres[labels] + 1.5 * torch.randn(rows, latent, generator=draw)) * spectrum
    mixing = torch.randn(latent, dimension, generator=draw) / latent**0.5
    noise = 0.02 * torch.randn(rows, dimension, generator=draw)
    return (hidden @ mixing + 0.3 * torch.randn(dimension, generator=draw)).relu() + noise, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    arguments = parser.parse_args()
    held_out = 5000
    features, labels = synthetic(arguments.rows + held_out, arguments.dimension, arguments.classes)
    test, test_labels = features[-held_out:], labels[-held_out:]
    features, labels = features[:-held_out], labels[:-held_out]

    start = time.perf_counter()
    ours = fit(features, labels, arguments.classes)
    our_seconds = time.perf_counter() - start
    about(f"{arguments.rows} x {arguments.dimension}, {arguments.classes} classes, {torch.get_num_threads()} threads")
    print(f"linear-v1: {len(STRENGTHS)} strengths in {our_seconds:.2f} s, {ours.evaluations} passes", flush=True)
    standard_test = (test.double() - ours.mean_D) / ours.scale_D

    start = time.perf_counter()
    scaler = StandardScaler().fit(features.numpy())
    standard = scaler.transform(features.numpy())
    their_seconds = time.perf_counter() - start
    differences = []
    for index, strength in enumerate(STRENGTHS):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs = LogisticRegression(C=1 / (strength * len(labels)), max_iter=1000).fit(standard, labels.numpy())
        their_seconds += time.perf_counter() - start
        scores = standard_test @ ours.weights_SKD[index].T + ours.bias_SK[index]
        accuracy = 100.0 * float((scores.argmax(dim=1) == test_labels).double().mean())
        reference = 100.0 * float(theirs.score(scaler.transform(test.numpy()), test_labels.numpy()))
        differences.append(abs(accuracy - reference))
        print(f"strength {strength:g}: top-1 {accuracy:.2f}, scikit-learn {reference:.2f}", flush=True)
    sides = f"scikit-learn {their_seconds:.2f} s, linear-v1 {our_seconds:.2f} s"
    claim(
        f"linear-v1 against scikit-learn, {len(STRENGTHS)} strengths",
        their_seconds / our_seconds,
        "x",
        at_least=5,
        detail=sides,
    )
    claim("all strengths of linear-v1", our_seconds, "s", at_most=10)
    claim("largest difference in top-1 at equal strengths", max(differences), "points", at_most=0.2)


if __name__ == "__main__":
    main()
