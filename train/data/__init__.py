"""The images of training and evaluation: listed, split, decoded once."""
