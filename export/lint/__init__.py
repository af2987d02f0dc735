"""A static check of an ONNX file: what would not fuse, or not be read, by the engine that it is for, node by node."""
