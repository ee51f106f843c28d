"""The codes that errors carry for programs: what each means, and whether trying again can help.

`docs/errors.md` is made of this table. A code is for ever: programs compare it. `tests/test_error_codes.py` holds the
table against the codes in the source.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorCode:
    """What a code stands for.

    Attributes
    ----------
    exit_code : int
        Of every error that carries the code.
    meaning : str
        One sentence.
    retry : bool
        Whether the same command can succeed later or on another machine, with nothing in it changed.
    """

    exit_code: int
    meaning: str
    retry: bool = False


ERROR_CODES = {
    # The command line, or the arguments of a function
    "usage.command_line": ErrorCode(2, "An unknown command or option, or a value of an option that cannot be read."),
    "usage.value": ErrorCode(2, "A value that makes no sense, or contradicts another one, the spec or the files."),
    "usage.missing_file": ErrorCode(2, "A file that was named is missing, unreadable, a folder, a pipe or a device."),
    "usage.format": ErrorCode(2, "A name of a folder or of no known format, or of a dataset where none can be."),
    "usage.preset": ErrorCode(2, "There is no preset of this name."),
    "usage.parameter": ErrorCode(2, "`--set` names no parameter of the spec, or gives it a value it cannot have."),
    "usage.axes": ErrorCode(2, "`--axes` makes no sense, or does not fit the dataset."),
    "usage.spacing": ErrorCode(2, "`--spacing` makes no sense, or contradicts the file."),
    "usage.package": ErrorCode(2, "The spec needs an optional package that is not installed."),
    # Outputs, before any work
    "output.exists": ErrorCode(2, "The output exists and `--force` was not given."),
    "output.is_input": ErrorCode(2, "The output is the same file as one that is read."),
    "output.twice": ErrorCode(2, "Two outputs have one name, or two names in one HDF5 file."),
    "output.not_a_file": ErrorCode(2, "The output's name is that of a folder, pipe, device or socket."),
    "output.folder": ErrorCode(2, "The folder of the output does not exist."),
    "output.unwritable": ErrorCode(2, "The output, or its scratch folder, cannot be made."),
    "output.busy": ErrorCode(2, "Another process is writing the output, or works in its scratch folder.", retry=True),
    "output.leftover": ErrorCode(2, "An interrupted run left other outputs to rename in the scratch folder."),
    "output.list": ErrorCode(3, "The list of an interrupted run's outputs in the scratch folder is damaged."),
    "output.other_job": ErrorCode(
        3, "The job to be resumed has another spec, input, output or version, or is damaged."
    ),
    "output.format": ErrorCode(2, "The output's format cannot hold the result, or its name has no meaning there."),
    # Specs
    "spec.text": ErrorCode(
        3, "The text is no YAML or JSON, no UTF-8, or uses what a spec may not: tabs, aliases, tags."
    ),
    "spec.too_large": ErrorCode(3, "The text is too long, too deep, or has too many values."),
    "spec.unknown": ErrorCode(3, "An unknown key or operator, or one that the dialect refuses."),
    "spec.value": ErrorCode(3, "A value of the wrong kind or range."),
    "spec.wiring": ErrorCode(3, "A stage reads itself, a later stage or an unknown one, or two have one name."),
    "spec.path": ErrorCode(3, "A path that leads out of the spec's folder, or at nothing that may be read."),
    "spec.weights": ErrorCode(3, "A stage wants a weights file and none is named."),
    "spec.shape": ErrorCode(3, "A stage cannot work on the shape, channels or type it is given."),
    # Weights files
    "weights.missing_file": ErrorCode(3, "A weights file that the spec names is missing or no regular file."),
    "weights.format": ErrorCode(3, "The file is of no known format."),
    "weights.damaged": ErrorCode(3, "The file is damaged."),
    "weights.truncated": ErrorCode(3, "The file is cut short."),
    "weights.limit": ErrorCode(3, "The file asks for more than any network needs."),
    "weights.memory": ErrorCode(3, "A tensor needs more memory than can be had."),
    "weights.io": ErrorCode(3, "The file cannot be read: the disk or the network failed.", retry=True),
    "weights.changed": ErrorCode(3, "The file, or one it belongs to, was replaced while it was opened.", retry=True),
    "weights.package": ErrorCode(3, "The file is of a format whose package is not installed."),
    "weights.pickle": ErrorCode(
        3, "A pickle that is damaged or does more than describe tensors. Nothing in it was run."
    ),
    "weights.torch": ErrorCode(3, "A PyTorch archive whose parts do not fit each other."),
    "weights.zip": ErrorCode(3, "A zip archive that is damaged, encrypted or ambiguous."),
    "weights.safetensors": ErrorCode(3, "A safetensors header that is damaged or does not fit the file."),
    "weights.npy": ErrorCode(3, "An npy or npz file whose header is damaged or does not fit the file."),
    "weights.hdf5": ErrorCode(3, "An HDF5 file that is damaged, unfinished or leads into other files."),
    "weights.onnx": ErrorCode(3, "An ONNX model that is damaged or whose tensors do not fit their bytes."),
    "weights.json": ErrorCode(3, "A JSON document of weights that is damaged or does not fit its files."),
    "weights.outside": ErrorCode(3, "The file names another one that is not beside it or below, or is a link."),
    "weights.duplicate": ErrorCode(3, "Two tensors have one name."),
    "weights.ambiguous": ErrorCode(3, "Several tensors, and none is named."),
    "weights.missing_tensor": ErrorCode(3, "There is no tensor of this name, or none behind the prefix."),
    "weights.shape": ErrorCode(3, "A tensor has another shape than the stage wants."),
    "weights.type": ErrorCode(3, "A tensor holds no real numbers."),
    "weights.not_finite": ErrorCode(3, "A tensor holds NaN or infinities, or numbers too large for the spec's dtype."),
    # NIfTI
    "nifti.signature": ErrorCode(3, "The file is no NIfTI file."),
    "nifti.header_truncated": ErrorCode(3, "The header is cut short."),
    "nifti.sizeof_hdr": ErrorCode(3, "`sizeof_hdr` is neither 348 nor 540 in either byte order."),
    "nifti.magic": ErrorCode(3, "`magic` is wrong, or damaged by a copy as text."),
    "nifti.dim": ErrorCode(
        3, "`dim` counts no axes, too many, or one without voxels, or asks for more than the file can hold."
    ),
    "nifti.datatype": ErrorCode(3, "`datatype` is unknown, or complex, RGB, 1-bit or float128."),
    "nifti.vox_offset": ErrorCode(3, "`vox_offset` is no place inside the file."),
    "nifti.scaling": ErrorCode(3, "`scl_slope` or `scl_inter` is not finite."),
    "nifti.pixdim": ErrorCode(3, "`pixdim` is not finite."),
    "nifti.sform": ErrorCode(3, "The sform is not finite."),
    "nifti.qform": ErrorCode(3, "The qform is not finite, or its quaternion longer than 1."),
    "nifti.affine": ErrorCode(3, "The affine places different voxels at one point."),
    "nifti.extension": ErrorCode(3, "`esize` of an extension is impossible."),
    "nifti.pair": ErrorCode(
        3,
        "The other half of a .hdr/.img pair is missing, or name and header differ on whether there is one.",
    ),
    "nifti.voxels_truncated": ErrorCode(3, "The voxels are cut short."),
    "nifti.trailing_bytes": ErrorCode(3, "More than 1 MiB follows the voxels in a gzip stream."),
    "gzip.damaged": ErrorCode(3, "The gzip stream does not unpack, or fails its checksum or length."),
    "gzip.truncated": ErrorCode(3, "The gzip stream ends early."),
    # HDF5
    "hdf5.signature": ErrorCode(3, "The file is no HDF5 file."),
    "hdf5.damaged": ErrorCode(3, "The file is damaged: the library cannot read it, or a chunk fails its checksum."),
    "hdf5.unclosed": ErrorCode(3, "The file was not closed by the program that wrote it, or is being written."),
    "hdf5.outside": ErrorCode(3, "A link, external storage or virtual dataset leads into another file."),
    "hdf5.link": ErrorCode(3, "Links or virtual datasets go in circles."),
    "hdf5.filter": ErrorCode(3, "The dataset is compressed with a filter that the library lacks."),
    "hdf5.missing": ErrorCode(3, "There is no such dataset, or none that is a volume."),
    "hdf5.ambiguous": ErrorCode(3, "Several datasets are volumes, and none is named."),
    "hdf5.type": ErrorCode(3, "The dataset's type or shape is that of no volume."),
    "hdf5.axes": ErrorCode(3, "The attribute `axes` or `axistags` makes no sense, or is needed and missing."),
    "hdf5.affine": ErrorCode(3, "The attribute `affine` is no finite, invertible 4×4 matrix."),
    # Volumes of any format
    "volume.damaged": ErrorCode(3, "The volume is damaged or not supported."),
    "volume.channels": ErrorCode(3, "The volume has another number of channels than the spec wants."),
    "volume.grid": ErrorCode(3, "The inputs do not lie on one grid."),
    "volume.mask": ErrorCode(3, "The mask does not fit the scan."),
    "volume.orientation": ErrorCode(3, "The spec orients the scan, and the scan does not say how it lies."),
    "volume.spacing": ErrorCode(3, "The spec resamples the scan, and the scan does not say its spacing."),
    "volume.intensity": ErrorCode(3, "An intensity step has no result for this scan."),
    "volume.record": ErrorCode(3, "The file has no record, or does not fit it: it is not as volconv wrote it."),
    # What the plan needs
    "memory.budget": ErrorCode(4, "The memory budget is smaller than the least the plan needs."),
    "disk.budget": ErrorCode(4, "The disk has less room than the plan needs.", retry=True),
    # The work, once begun
    "memory.exhausted": ErrorCode(1, "The memory the plan counted on could not be had.", retry=True),
    "disk.full": ErrorCode(1, "The disk, a quota or a limit on file sizes ended the writing.", retry=True),
    "run.io": ErrorCode(1, "Reading or writing failed: the disk or the network.", retry=True),
    "run.input_changed": ErrorCode(1, "An input changed, shrank or vanished while it was read.", retry=True),
    "run.library": ErrorCode(1, "A library cannot be loaded or is set so that it cannot work."),
    "run.failed": ErrorCode(1, "The work failed."),
    "run.internal": ErrorCode(1, "A fault of volconv itself; `--debug` shows where."),
}
"""Code to what it stands for, a family after the other."""
