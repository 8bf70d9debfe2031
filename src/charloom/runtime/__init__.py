"""Run a trained model: generate, stream, evaluate. The kernel and numpy, no torch."""
