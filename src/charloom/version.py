"""The version of the library, read by the build and written into every model directory."""

__version__ = "0.1.0"
