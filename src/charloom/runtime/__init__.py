"""Run a trained model: generate, stream, evaluate. numpy and ONNX Runtime, no torch."""

import os

# ONNX Runtime reads this when it is imported. Without it, it leaves a device id and a database in the user's cache
# folder and sends events to Microsoft. Its own switch, disable_telemetry_events(), comes after both are written.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
