"""Time whole runs of MeshNet from file to file over growing volumes: the time a voxel should stay the same.

    python benchmarks/out_of_core.py [--edges 128 256 512] [--memory 1GB] [--folder DIR] [--threads N]

Volumes are cubes of uint8, written and read as uncompressed NIfTI; the output is the logits of three classes, float32.
The memory budget is the same for all, so that large volumes are cut into tiles. Each size is run twice, the faster run
counts. The largest needs 13 bytes a voxel of disk, 1.7 GB for 512.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

import volconv
from volconv.api.bench.networks import make_meshnet


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--folder", help="where the volumes go for the time being; default: the system's")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print(f"{'edge':>5} {'tiles':>6} {'seconds':>8} {'ns a voxel':>11}")
    for edge in options.edges:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            scan = Path(folder) / "scan.nii"
            values = np.random.default_rng(0).integers(0, 256, (edge,) * 3, np.uint8)
            nib.Nifti1Image(values, np.eye(4)).to_filename(scan)
            tiles, seconds = min(time_run(scan, options.memory, options.threads) for _ in range(2))
        print(f"{edge:5} {tiles:6} {seconds:8.2f} {1e9 * seconds / edge**3:11.1f}", flush=True)


def time_run(scan: Path, memory: str, threads: int | None) -> tuple[int, float]:
    """Return the tiles and the seconds of one run, from open files to committed output."""
    network = make_meshnet()
    with network.opened() as (spec, weights):
        settings = {"weights": weights, "memory": memory, "threads": threads}
        tiles = volconv.plan(spec, scan, **settings).count
        start = time.perf_counter()
        volconv.run(spec, scan, scan.with_name("out.nii"), force=True, **settings)
        return tiles, time.perf_counter() - start


if __name__ == "__main__":
    main()
