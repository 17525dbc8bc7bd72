"""Keras models; importing this package imports TensorFlow."""

from efn_compose.models.efficientnet import assign_weights, build_model, model_variables
from efn_compose.models.from_donor import build_donor

__all__ = ["assign_weights", "build_donor", "build_model", "model_variables"]
