"""``radiodino-bench``: engines and precisions beside the PyTorch original, and beside what one would take otherwise."""
