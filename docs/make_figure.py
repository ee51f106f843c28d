"""Draws the README's picture from what ``volconv demo`` wrote: middle slices of the scan, and of the result below.

volconv demo
python docs/make_figure.py volconv-demo docs/demo.png
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

ZOOM = 3
GAP = 6


def middle_slices(path: Path) -> list[NDArray[np.float64]]:
    """Return the axial, coronal and sagittal slice through the middle, the top of the head or its front on top."""
    image = nib.as_closest_canonical(nib.load(path))
    voxels = np.asarray(image.dataobj, dtype=np.float64)
    i, j, k = (n // 2 for n in voxels.shape[:3])
    return [plane.T[::-1] for plane in (voxels[:, :, k], voxels[:, j, :], voxels[i, :, :])]


def row_of(planes: list[NDArray[np.float64]], height: int) -> NDArray[np.uint8]:
    """Return the planes side by side on black, grey by the share of their 99.5th percentile."""
    top = max(float(np.percentile(plane, 99.5)) for plane in planes)
    cells = []
    for plane in planes:
        grey = np.rint(np.clip(plane / top, 0, 1) * 255).astype(np.uint8)
        above = (height - grey.shape[0]) // 2
        cells.append(np.pad(grey, ((above, height - grey.shape[0] - above), (0, GAP))))
    return np.concatenate(cells, axis=1)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an 8-bit greyscale PNG (ISO/IEC 15948) of `pixels` (rows, columns)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter's number, 0 for none
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def main() -> None:
    """Write the picture: first argument the demo's folder, second the file."""
    folder, target = map(Path, sys.argv[1:])
    rows = [middle_slices(folder / name) for name in ("t1_2mm.nii.gz", "edges.nii.gz")]
    height = max(plane.shape[0] for row in rows for plane in row) + GAP
    picture = np.concatenate([row_of(row, height) for row in rows])
    target.write_bytes(encode_png(np.kron(picture, np.ones((ZOOM, ZOOM), np.uint8))))


if __name__ == "__main__":
    main()
