"""What many models say of the same images: written model by model, read model by model.

Begin at `store.py`. `rows.py` is the one table of images and folds that all models share, `column.py`
says what a model's training saw, `blocks.py` is the file of logits.
"""

from efn_compose.assess.prediction_store.column import Column
from efn_compose.assess.prediction_store.rows import RowTable, read_rows
from efn_compose.assess.prediction_store.store import PredictionStore, StoreWriter

__all__ = ["Column", "PredictionStore", "RowTable", "StoreWriter", "read_rows"]
