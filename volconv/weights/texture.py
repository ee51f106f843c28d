"""Laws texture filters: outer products of short vectors, normalised as in the IBSI-2 reference manual.

Laws, "Rapid texture identification", Proc. SPIE 0238, 1980; normalisation: Depeursinge et al., "The Image Biomarker
Standardization Initiative: standardized convolutional filters for reproducible radiomics", reference manual, section
on Laws kernels.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn

import numpy as np

from ..values import describe
from .generator import KERNEL_SIZE, Filters, Generator, GeneratorParameter, Request, outer

VECTORS = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
"""Level, edge, spot, wave and ripple, of three and of five taps; each is divided by its Euclidean norm."""

_CODE = GeneratorParameter("code", "text", None, "one vector an axis, d first: L5E5S5; of L3 E3 S3 L5 E5 S5 W5 R5")


def make_laws(request: Request) -> Filters:
    """Return the outer product of the vectors that ``code`` names along d, h, w (h, w in two dimensions)."""
    code = request.values.get("code")
    names = re.findall("..", code) if isinstance(code, str) else []
    if len(names) != request.ndim or "".join(names) != code or any(name not in VECTORS for name in names):
        _fail(request, code)
    vectors = [np.array(VECTORS[name]) / math.sqrt(sum(tap * tap for tap in VECTORS[name])) for name in names]
    return request.embed(outer(vectors)[None])


def _fail(request: Request, code: object) -> NoReturn:
    example = "L5E5S5" if request.ndim == 3 else "L5E5"
    expected = f"{request.ndim} of {', '.join(VECTORS)} in a row, such as {example}"
    request.values.fail("code", describe(code), expected)


LAWS = Generator("laws", "Laws texture filter (IBSI-2)", (_CODE, KERNEL_SIZE), make_laws, required=("code",))
