"""CNN-JEPA (arXiv 2408.07514) as a library: masks, encoders for partly visible images, predictor and model."""

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
