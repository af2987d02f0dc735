"""Supervised fine-tuning (paper, section 4.1)."""
