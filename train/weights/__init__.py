"""Weights from a checkpoint, the authors or at random, fitted strictly to a variant; `load` is the way in."""
