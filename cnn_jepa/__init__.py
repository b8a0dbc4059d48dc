"""CNN-JEPA as a library of its own (arXiv 2408.07514): masks, encoders of a part of an image, predictor, model."""

from cnn_jepa.losses import prediction_loss
from cnn_jepa.masked_dense import MaskedDenseEncoder
from cnn_jepa.masking import Masks, MaskSpec, check_spec
from cnn_jepa.model import CNNJEPA, JEPAOutput
from cnn_jepa.predictor import ConvPredictor
from cnn_jepa.sampling import sample_masks
from cnn_jepa.sparse import SparseEncoder

__all__ = [
    "CNNJEPA",
    "ConvPredictor",
    "JEPAOutput",
    "MaskSpec",
    "MaskedDenseEncoder",
    "Masks",
    "SparseEncoder",
    "check_spec",
    "prediction_loss",
    "sample_masks",
]
