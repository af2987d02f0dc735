"""The models in PyTorch: how they are built, and where their weights come from."""
