"""The pieces of DINO and DINOv2 pretraining: one idea per file, plain tensors in, plain tensors out."""
