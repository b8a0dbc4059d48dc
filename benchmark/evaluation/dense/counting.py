"""`counting-v1`: how many objects an image shows, from frozen features.

Shape suffixes: N images, D feature dimension, M strengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.evaluation.dense.maps import lacking
from benchmark.evaluation.features import check_features
from benchmark.evaluation.logistic import STRENGTHS, standardisation
from benchmark.evaluation.ridge import ridge_weights

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.evaluation.subject import Subject

    Counted = tuple[Tensor, Tensor]

COUNT = "count"


def counting(subject: Subject) -> dict[str, float]:
    """Errors of the number of objects on test: `count_mae`, `count_rmse`, and `count_exact` in percent, when rounded.

    Ridge regression of the number on standardised features (pooled, as for `linear-v1`), in closed form; its strength,
    one of `linear-v1`'s, is chosen on the validation split by mean absolute error. A count is not negative, and so is
    no prediction. MAE and RMSE are the field's (FSC-147, 2104.08391, section 5). The `_floor` is that of predicting
    train's median for every image.

    Raises:
        NotApplicableError: the dataset does not know how many objects there are.
    """
    data = subject.data
    if any(COUNT not in split.factors for split in (data.train, data.validation, data.test)):
        raise lacking(subject, "numbers of objects")
    train, validation, test = (
        (features[0], split.factors[COUNT].double())
        for features, split in (
            (subject.train, data.train),
            (subject.validation, data.validation),
            (subject.test, data.test),
        )
    )
    check_features(train[0], "training features")
    chosen, predicted_N = ridge(train, validation, test)
    median = train[1].quantile(0.5, interpolation="lower")
    return {
        **count_errors(predicted_N, test[1]),
        **{f"{name}_floor": value for name, value in count_errors(median.expand(len(test[1])), test[1]).items()},
        "strength": STRENGTHS[chosen],
    }


def count_errors(predicted_N: Tensor, truth_N: Tensor) -> dict[str, float]:
    """Mean absolute error, root mean squared error, and the percentage that is exact when rounded."""
    errors_N = predicted_N.double() - truth_N.double()
    return {
        "count_mae": float(errors_N.abs().mean()),
        "count_rmse": float(errors_N.square().mean().sqrt()),
        "count_exact": 100.0 * float((predicted_N.round() == truth_N).double().mean()),
    }


def ridge(train: Counted, validation: Counted, test: Counted) -> tuple[int, Tensor]:
    """The strength that validation chooses, and its predictions for test `(N,)`, none of them negative.

    Each split has features `(N, D)` and counts `(N,)`.
    """
    mean_D, scale_D = standardisation(train[0])

    def standard(features_ND: Tensor) -> Tensor:
        centred_ND: Tensor = features_ND.double() - mean_D
        return centred_ND / scale_D

    inputs_ND, centre = standard(train[0]), train[1].mean()
    products_D = inputs_ND.T @ (train[1] - centre)
    weights_DM = ridge_weights(inputs_ND.T @ inputs_ND / len(inputs_ND), products_D, len(inputs_ND))

    def predicted(features_ND: Tensor) -> Tensor:
        numbers_NM: Tensor = standard(features_ND) @ weights_DM + centre
        return numbers_NM.clamp_min(0.0)

    errors_M = (predicted(validation[0]) - validation[1][:, None]).abs().mean(dim=0)
    best = int(errors_M.argmin())
    return best, predicted(test[0])[:, best]
