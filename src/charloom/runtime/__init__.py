"""Run a trained model: generate, stream, evaluate. numpy and ONNX Runtime, no torch."""
