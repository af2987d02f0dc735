"""Embeddings of decoded images from a checkpoint, an exported file or another model."""
