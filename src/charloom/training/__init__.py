"""Learning: the only room with torch in it. It writes the model directory; everything after reads that."""

import os

# How often a thread of torch's asks whether the others are done before it sleeps; read when torch is loaded. GNU
# OpenMP's own 300,000 keep a core busy for milliseconds, in which the thread that is waited for could have run.
_SPINS = "1000"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
