"""Time trained networks as whole processes: ``python -m benchmarks.networks [--rounds N] [--only NAME ...]``.

Reads the networks and scans from the folder in the environment variable VOLCONV_TEST_DATA. Rivals (extra
``volconv[bench]``) run as installed, on as many threads. Seconds are medians; memory is the largest resident set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CASES = HERE.parent.parent / "tests" / "cases"
SCALE = str(1 / 255)


@dataclass(frozen=True)
class Side:
    """One command: what it is called and its words."""

    name: str
    words: Sequence[str]


def list_rows(data: Path, out: Path) -> Iterator[tuple[str, list[Side]]]:
    """Yield each network's name and the commands to compare."""
    nets, scans = data / "nets", data / "volumes"
    python, fast = sys.executable, nets / "brainchop_tissue_fast"
    whole = str(scans / "t1_crop.nii.gz")
    labels = str(out / "labels.nii.gz")
    yield (
        "tissue_fast, scan to labels, 256^3",
        [
            Side("volconv", run_words("meshnet.yaml", whole, fast / "model.pth", labels, "--output-type", "argmax")),
            Side("torch", [python, str(HERE / "torch_meshnet.py"), whole, str(fast / "model.pth"), labels]),
            Side(
                "OpenVINO",
                [python, str(HERE / "openvino_onnx.py"), whole, str(nets / "onnx" / f"{fast.name}.onnx"), labels],
            ),
        ],
    )
    small = str(scans / "t1_sub.nii.gz")
    hippodeep, gwm11, mindgrab = (
        nets / name for name in ("hippodeep_head_unet", "brainchop_gwm11_tfjs", "brainchop_mindgrab")
    )
    features = str(out / "features.nii")
    for name, spec, folder, weights, scan, scale, theirs in (
        ("tissue_fast, 256^3", "meshnet.yaml", fast, "model.pth", whole, SCALE, "model.pth"),
        ("gwm11, 88x104x80", "meshnet_tfjs.yaml", gwm11, "model.json", small, SCALE, None),
        ("mindgrab, 88x104x80", "mindgrab.yaml", mindgrab, "model.pth", small, SCALE, "model.pth"),
        (
            "hippodeep, 64^3",
            "hippodeep.yaml",
            hippodeep,
            "params_head_00075_00000.pt",
            str(hippodeep / "input.nii.gz"),
            "1",
            "params_head_00075_00000.pt",
        ),
    ):
        layers = [python, str(HERE / "torch_layers.py"), str(folder / "arch.json")]
        yield (
            f"{name}, scan to features",
            [
                Side("volconv", run_words(spec, scan, folder / weights, features)),
                Side("torch, twice", [*layers, str(folder / theirs) if theirs else "", scan, scale]),
            ],
        )


def run_words(spec: str, scan: str, weights: Path, out: str, *more: str) -> list[str]:
    """Return the words of a run."""
    command = [sys.executable, "-m", "volconv", "-q", "run", str(CASES / spec), scan]
    return [*command, "-w", str(weights), "-o", out, "--force", *more]


def time_process(words: Sequence[str]) -> tuple[float, float, str]:
    """Return the seconds of a process from start to exit, the MB it took at most, and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e6, printed.strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="networks whose names begin so")
    options = parser.parse_args()
    data = Path(os.environ["VOLCONV_TEST_DATA"])
    print(f"{'network':46} {'side':14} {'seconds':>8} {'MB':>7}  second forward pass")
    with tempfile.TemporaryDirectory() as folder:
        for name, sides in list_rows(data, Path(folder)):
            if options.only and not name.startswith(tuple(options.only)):
                continue
            found: dict[str, list[tuple[float, float, str]]] = {side.name: [] for side in sides}
            for _ in range(options.rounds + 1):  # the first round fills caches
                for side in sides:
                    found[side.name].append(time_process(side.words))
            for side in sides:
                seconds, memory, printed = zip(*found[side.name][1:], strict=True)
                inner = f"{statistics.median(map(float, printed)):.3f}" if printed[0] else ""
                print(
                    f"{name:46} {side.name:14} {statistics.median(seconds):8.2f} {max(memory):7.0f}  {inner}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
