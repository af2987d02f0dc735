"""Self-distillation: the last blocks learn to say at one image size what the network says at several."""
