"""Inputs of the kinds that people's bug reports are about; each module makes some, with their truths.

`cases.py` says what a case is; `torch_files.py`, `timm_files.py`, `keras_files.py` and `images.py`
make files with random weights or pixels. `experiments/faults.py` hands them to the product.
"""
