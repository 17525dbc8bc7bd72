"""Test-time augmentation: several views of each image, one answer."""

from efn_compose.train.tta.merge import merge_views
from efn_compose.train.tta.options import TtaOptions
from efn_compose.train.tta.predict import predict_views
from efn_compose.train.tta.views import View, crop_views, drawn_views, make_views, symmetric_views

__all__ = [
    "TtaOptions",
    "View",
    "crop_views",
    "drawn_views",
    "make_views",
    "merge_views",
    "predict_views",
    "symmetric_views",
]
