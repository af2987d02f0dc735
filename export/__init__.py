"""From a checkpoint to one verified, self-describing file; `radiodino.export.pipeline` reads as the steps of it."""
