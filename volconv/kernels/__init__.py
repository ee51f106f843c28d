"""The compiled loops: numba lives in this folder and nowhere else.

Imports nothing itself, so that planning may import `kernels.catalog` without loading numba.
"""

from __future__ import annotations

import os

# Idle OpenMP threads spin by default: a region of 0.1 ms then takes 8 ms when another job holds a core. libgomp reads
# this once, when numba loads it, so it has to be set before the first import of numba in any file of this folder.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
