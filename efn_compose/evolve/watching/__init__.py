"""What a person sees while a search runs: the terminal, TensorBoard, the time that is left.

Begin at `progress.py`. Nothing here changes a result.
"""
