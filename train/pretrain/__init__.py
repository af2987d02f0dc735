"""Self-supervised pretraining with DINO and DINOv2; `loop` reads in the order of execution."""
