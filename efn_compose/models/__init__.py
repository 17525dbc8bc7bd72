"""Keras models; importing this package imports TensorFlow."""

from efn_compose.models.efficientnet import assign_weights, build_model, model_variables

__all__ = ["assign_weights", "build_model", "model_variables"]
