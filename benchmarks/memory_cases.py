"""The runs whose memory is measured: pipelines that together use every kind of stage, and volumes of every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SHAPE = (96, 112, 128)
"""z, y, x of the volumes, where a case says nothing else."""
INPUTS = ("nii", "nii.gz", "h5", "gzip.h5", "big-endian.nii", "float64.nii", "4d.nii.gz")
OUTPUTS = ("nii", "nii.gz", "h5", "split")
_VOLUMES = 3  # of a 4-D scan


@dataclass(frozen=True)
class Case:
    """A pipeline on a volume.

    Attributes
    ----------
    name : str
    spec : mapping
    source, target : str
        Of `INPUTS` and `OUTPUTS`.
    shape : three ints
        z, y, x of the volume.
    options : tuple of str
        More words for the command; ``{folder}`` stands for the folder of the volumes.
    mask : bool
        Whether the spec names the file ``mask.nii``.
    """

    name: str
    spec: Mapping[str, Any]
    source: str = "nii"
    target: str = "nii"
    shape: tuple[int, int, int] = SHAPE
    options: tuple[str, ...] = ()
    mask: bool = False

    @property
    def output(self) -> str:
        """The output's name."""
        return "out.nii.gz" if self.target == "split" else f"out.{self.target}"

    def words(self, folder: Path) -> list[str]:
        """Return what follows ``volconv run``, less the budget; spec and volume lie in `folder`."""
        words = [str(folder / "spec.json"), str(folder / f"scan.{self.source}"), "-o", str(folder / self.output)]
        words += ["--channels", "split"] if self.target == "split" else []
        return [*words, *(option.replace("{folder}", str(folder)) for option in self.options)]


@dataclass
class _Stages:
    """The stages of a spec, as they are added; weights are drawn at random."""

    stages: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, op: str, name: str = "", **items: Any) -> _Stages:
        self.stages.append({"op": op, **({"name": name} if name else {}), **items})
        return self

    def conv(self, outputs: int, kernel: int = 3, name: str = "", op: str = "Conv3d", **items: Any) -> _Stages:
        padding = {} if op.startswith("ConvTranspose") or "padding" in items else {"padding": kernel // 2}
        weight = {"init": "default", "seed": len(self.stages)}
        return self(op, name, out_channels=outputs, kernel_size=kernel, weight=weight, **padding, **items)


def _spec(stages: _Stages, **more: Any) -> dict[str, Any]:
    return {"volconv": 1, "name": "measured", "stages": stages.stages, **more}


def _net(*convolutions: tuple[int, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    stages = _Stages()
    for outputs, items in convolutions:
        stages.conv(outputs, **items)("ReLU")
    return _spec(stages, **more)


def _filter(generator: str, after: Sequence[str] = (), **parameters: Any) -> dict[str, Any]:
    stages = _Stages()(
        "Conv3d", padding="same", padding_mode="replicate", weight={"generator": generator, **parameters}
    )
    for op in after:
        stages(op)
    return _spec(stages)


def _meshnet() -> dict[str, Any]:
    stages = _Stages()("Affine", scale=1 / 255)
    for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1):
        stages.conv(5, dilation=dilation, padding=dilation)("ReLU")
    return _spec(stages.conv(3, 1))


def _unet(join: str) -> dict[str, Any]:
    """Return a U-Net of three levels: strided down and ``Add``, or pooled down, sampled up and ``Concat``."""
    stages = _Stages().conv(16, name="a0")("ReLU", "e0")
    for level, width in enumerate((32, 64), 1):
        if join == "Add":
            stages.conv(width, name=f"d{level}", stride=2)("ReLU")
        else:
            stages("MaxPool3d", f"p{level}", kernel_size=2).conv(width, name=f"d{level}")("ReLU")
        stages.conv(width, name=f"a{level}")("ReLU", f"e{level}")
    for level, width in ((1, 32), (0, 16)):
        if join == "Add":
            stages.conv(width, 2, f"u{level}", "ConvTranspose3d", stride=2)
        else:
            stages("Upsample", f"u{level}", scale_factor=2, mode="trilinear", align_corners=False)
        stages(join, f"j{level}", inputs=[f"u{level}", f"e{level}"]).conv(width, name=f"b{level}")("ReLU")
    return _spec(stages.conv(4, 1))


def _norms() -> dict[str, Any]:
    stages = _Stages().conv(16, name="a")("InstanceNorm3d")("LeakyReLU", "ra").conv(16, name="b", stride=2)
    stages("GroupNorm", num_groups=4, affine=False).conv(16, 2, "up", "ConvTranspose3d", stride=2)
    stages("Add", "skip", inputs=["up", "ra"])("InstanceNorm3d").conv(16, name="c")
    return _spec(stages("InstanceNorm3d")("LeakyReLU").conv(2, name="out"))


def _gate() -> dict[str, Any]:
    """Return a block whose channels are weighted by their own means."""
    stages = _Stages().conv(16, name="a")("ReLU", "features")("AdaptiveAvgPool3d", output_size=1).conv(16, 1)
    return _spec(stages("Sigmoid", "gate")("Mul", inputs=["features", "gate"]))


def _channels() -> dict[str, Any]:
    stages = _Stages().conv(16)("LayerNorm", normalized_shape=16, elementwise_affine=False)("GELU").conv(32, 1)
    return _spec(stages("Softmax"))


def _labels(*after: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    stages = _Stages().conv(4)("ArgMax")
    for op, items in after:
        stages(op, **items)
    return _spec(stages)


def _prepared(stages: _Stages | None = None, output: Mapping[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"input": given} | ({} if output is None else {"output": output})
    return _spec(stages or _Stages().conv(4)("ReLU"), **more)


_OBLIQUE = {"stride": 2, "padding_mode": "reflect"}
_LARGE = (160, 160, 160)
_PIPELINES = (
    Case("gaussian", _filter("gaussian", sigma=1.5), "nii", "nii"),
    Case("gaussian, large", _filter("gaussian", sigma=3), "nii", "nii", _LARGE),
    Case("gradient magnitude", _filter("gradient", ["VectorNorm"]), "nii.gz", "nii.gz"),
    Case("laws energy", _filter("laws", ["Abs"], code="L5E5S5"), "big-endian.nii", "h5"),
    Case("gabor", _filter("gabor", sigma=2, wavelength=4), "float64.nii", "split"),
    Case("1 to 16 channels", _net((16, {})), "h5", "nii"),
    Case("16 to 16, rows of pairs", _net((16, {}), (16, {})), "nii", "h5"),
    Case("32 to 32, Winograd", _net((32, {}), (32, {}), (32, {})), "nii", "nii", _LARGE),
    Case("5 x 5 x 5", _net((8, {"kernel": 5}), (8, {"kernel": 5})), "gzip.h5", "nii.gz"),
    Case("strided", _net((16, {"stride": 2}), (32, {"stride": 2})), "nii.gz", "h5"),
    Case("dilated", _net((8, {"dilation": 4, "padding": 4}), (8, {"dilation": 8, "padding": 8})), "nii", "split"),
    Case("reflected and circular", _net((4, _OBLIQUE), (4, {"padding_mode": "circular"})), "float64.nii", "nii"),
    Case("grouped", _net((16, {}), (16, {"groups": 4})), "big-endian.nii", "nii"),
    Case("depthwise", _net((32, {}), (32, {"groups": 32}), (32, {"kernel": 1})), "nii", "nii.gz"),
    Case("slices", _net((8, {"op": "Conv2d"}), (8, {"op": "Conv2d"})), "h5", "h5"),
    Case("transposed", _net((16, {}), (16, {"kernel": 2, "stride": 2, "op": "ConvTranspose3d"})), "nii", "nii"),
    Case(
        "strided and transposed, minimal filters",
        _net((24, {}), (48, {"stride": 2}), (24, {"kernel": 4, "stride": 2, "op": "ConvTranspose3d"})),
        "h5",
        "nii",
    ),
    Case(
        "transposed, few channels",
        _net((4, {"kernel": 3, "stride": 2, "padding": 1, "output_padding": 1, "op": "ConvTranspose3d"})),
        "nii.gz",
        "nii.gz",
    ),
    Case("MeshNet", _meshnet(), "nii.gz", "nii.gz"),
    Case("MeshNet, large", _meshnet(), "nii", "h5", (160, 192, 192)),
    Case("U-Net, Add", _unet("Add"), "nii", "nii"),
    Case("U-Net, Add, large", _unet("Add"), "gzip.h5", "nii", _LARGE),
    Case("U-Net, Concat", _unet("Concat"), "nii.gz", "h5"),
    Case("pools", _spec(_Stages().conv(16)("MaxPool3d", kernel_size=3, stride=2)("AvgPool3d", kernel_size=2))),
    Case("upsampled", _spec(_Stages()("Upsample", scale_factor=2, mode="trilinear").conv(4)), "h5", "nii"),
    Case(
        "upsampled, nearest", _spec(_Stages().conv(8)("Upsample", scale_factor=2)("PixelShuffle3d", upscale_factor=2))
    ),
    Case("norms in phases", _norms(), "nii", "nii"),
    Case("norms in phases, large", _norms(), "nii.gz", "nii.gz", (128, 160, 160)),
    Case("gated by means", _gate(), "h5", "split"),
    Case("norm over channels", _channels(), "nii", "h5"),
    *(
        Case(f"resampled, order {order}", _prepared(spacing=[1.3, 0.8, 0.9], order=order), source, target)
        for order, source, target in ((0, "nii", "nii"), (1, "nii.gz", "h5"), (2, "h5", "nii"), (3, "nii", "nii.gz"))
    ),
    Case(
        "there and back",
        _prepared(output={"space": "input"}, orientation="RAS", spacing=[1.5, 1.5, 1.5]),
        "nii",
        "nii.gz",
    ),
    Case("percentiles", _prepared(intensity=[{"percentile": [2, 98]}], pad_multiple=16), "big-endian.nii", "nii"),
    Case("z-scores in a mask", _prepared(intensity=[{"zscore": {}}], mask="mask.nii"), "nii.gz", "nii", mask=True),
    Case("104 classes", _spec(_Stages().conv(8)("ReLU").conv(104, 1)("ArgMax")), "nii", "nii.gz"),
    Case("scores of 24 classes", _spec(_Stages().conv(8)("ReLU").conv(24, 1)("Softmax")), "nii", "nii"),
    Case("largest component", _labels(("LargestComponent", {})), "nii", "nii.gz"),
    Case("filled holes", _labels(("LargestComponent", {}), ("FillHoles", {})), "h5", "h5"),
    Case("float64", _net((16, {}), (16, {}), dtype="float64"), "float64.nii", "nii"),
    Case("float16", _net((16, {}), (16, {}), dtype="float16"), "nii", "nii"),
    Case("bfloat16", _net((16, {}), (16, {}), dtype="bfloat16"), "h5", "h5"),
    Case("several outputs", _net((8, {"name": "a"}), (8, {"name": "b"}), outputs=["a", "b"]), "nii.gz", "nii.gz"),
    Case("several datasets", _net((8, {"name": "a"}), (8, {"name": "b"}), outputs=["a", "b"]), "nii", "h5"),
    Case(
        "saved in passing",
        _net((8, {"name": "a"}), (8, {"name": "b"})),
        options=("--save", "a={folder}/saved.nii.gz", "--dtype", "int16"),
    ),
    Case("4-D as channels", _net((8, {}), input={"channels": _VOLUMES}), "4d.nii.gz", "split"),
)
_FEATURES = _net((4, {}))
CASES = (
    *_PIPELINES,
    *(Case(f"features, {s} to {t}", _FEATURES, s, t) for s in INPUTS for t in OUTPUTS if (s, t) != ("4d.nii.gz", "h5")),
)
"""Every pipeline once, and a small one from every kind of file to every kind (HDF5 takes no batch)."""


def write_volume(path: Path, kind: str, shape: tuple[int, int, int]) -> None:
    """Write a scan of `kind`, one of `INPUTS`, whose numbers are noise, so that label maps made of it are hard."""
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(np.int16)
    _WRITERS[kind](path, values)


def write_mask(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a ball as a mask."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    _save(path, (sum(axis**2 for axis in axes) < 0.8).astype(np.uint8))


def _save(path: Path, values: Array, **header: Any) -> None:
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.1, 0.2) @ np.diag([-0.9, 1.1, 1.2]), [9, -9, 5])
    nib.Nifti1Image(values.T, affine, nib.Nifti1Header(**header)).to_filename(path)


def _save_hdf5(path: Path, values: Array, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("raw", data=values, **options)
        dataset.attrs["affine"] = np.diag([0.9, 1.1, 1.2, 1])


_WRITERS: dict[str, Callable[[Path, Array], None]] = {
    "nii": _save,
    "nii.gz": _save,
    "h5": _save_hdf5,
    "gzip.h5": lambda path, values: _save_hdf5(path, values, chunks=(16, 16, 16), compression="gzip"),
    "big-endian.nii": lambda path, values: _save(path, values.astype(">i2"), endianness=">"),
    "float64.nii": lambda path, values: _save(path, values * 0.001),
    "4d.nii.gz": lambda path, values: _save(path, np.stack([values] * _VOLUMES)),
}
