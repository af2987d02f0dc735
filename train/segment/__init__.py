"""Segmentation on frozen features (paper, section 7.2)."""
