"""PyTorch's files: a zip or a legacy stream around a pickle that is never executed.

Begin at `torch_zip.py`. `torch_pickle.py` walks the pickle, `torch_globals.py` lists the names it may use.
"""
