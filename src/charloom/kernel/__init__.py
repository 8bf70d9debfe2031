"""The network in C, compiled or in numpy: `network.py` opens it."""
