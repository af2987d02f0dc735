"""Measurements of this package against the PyTorch original; each module is a command (`python -m`)."""
