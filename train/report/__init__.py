"""The tables and figures of the paper in our own numbers."""
