"""From inputs to a table of embeddings, interruptible at any time; `run` is the way in."""
