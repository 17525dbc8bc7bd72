"""How PyTorch files name a network, and what stands around it.

Begin at `torch_names.py` (name tables), `torch_parts.py` (weights stored in parts) or `torch_surroundings.py`
(what stands beside the network in its file).
"""
