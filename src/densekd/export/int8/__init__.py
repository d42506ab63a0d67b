"""Post-training quantization (PTQ) of ONNX graphs: ranges from training pictures, by ONNX Runtime and NNCF."""
