"""The view of a running search: the terminal, TensorBoard, the time that is left.

Begin at `progress.py`. Nothing here changes a result.
"""
