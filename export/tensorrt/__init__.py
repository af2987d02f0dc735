"""From an exported ONNX file to a TensorRT engine: built, compared with its original, sealed with what it is for."""
