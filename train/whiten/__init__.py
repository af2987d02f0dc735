"""Whitened embeddings without a layer more: the last MLP of a finished network learns to give them."""
