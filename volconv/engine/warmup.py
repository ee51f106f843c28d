"""Compiles ahead of time what ordinary runs need, so that the first of them starts at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..graph.passes.algorithms import algorithm_of
from ..kernels.add import add_specs
from ..kernels.arithmetic import arithmetic_specs
from ..kernels.borders import border_specs
from ..kernels.catalog import ConvShape, Epilogue, choose_conv
from ..kernels.conv import kernel_specs
from ..kernels.copies import copy_specs
from ..kernels.jit import KernelSpec, kernel_cache, missing
from ..kernels.layer_norm import layer_norm_specs
from ..kernels.norm import norm_specs
from ..kernels.pad import pad_specs
from ..kernels.pointwise import pointwise_specs
from ..kernels.pool import pool_specs
from ..kernels.resample import resample_specs
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from ..plan.buffers import conv_shape
from ..settings import memory_budget, thread_count
from .compiling import compile_jobs, make_ready

_CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 21, 24, 32, 48, 64, 96, 128)


def list_kernels(dtypes: tuple[str, ...] = ("float32", "float64")) -> list[KernelSpec]:
    """Return the kernels of the usual numbers of channels, at stride 1 and 2, and of all that is no convolution.

    Of layers: 3 x 3 x 3 taps, and transposed ones of 2 x 2 x 2 taps at stride 2.
    """
    specs: list[KernelSpec] = []
    for dtype in dtypes:
        for outputs in _CHANNELS:
            for step in (1, 2):
                shape = ConvShape(16, outputs, 1, 27, dtype, step)  # type: ignore[arg-type]
                specs.extend(kernel_specs(choose_conv(shape), shape, Epilogue()))
            for op in (
                Conv3d(outputs, outputs, (3, 3, 3)),
                Conv3d(outputs, outputs, (3, 3, 3), (2, 2, 2)),
                ConvTranspose3d(2 * outputs, outputs, (2, 2, 2), (2, 2, 2)),
            ):
                shape = conv_shape(op, dtype, algorithm_of(op))
                specs.extend(kernel_specs(choose_conv(shape), shape, Epilogue()))
        shape = ConvShape(1, 1, 1, 27, dtype, algorithm="factored", lengths=(9, 9, 9))  # type: ignore[arg-type]
        specs.extend(kernel_specs(choose_conv(shape), shape, Epilogue()))
        specs.extend(
            (*pointwise_specs(dtype), *add_specs(dtype), *norm_specs(dtype), *copy_specs(dtype), *border_specs(dtype))
        )
        specs.extend((*arithmetic_specs(dtype), *pad_specs(dtype), *layer_norm_specs(dtype)))
        for flag in (False, True):
            specs.extend((*pool_specs(dtype, flag, (1, 2)), *resample_specs(dtype, flag)))
    return list(dict.fromkeys(specs))


def warmup(on_compile: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Compile `list_kernels` into the cache; returns what was there, what was compiled, where, and how long it took."""
    started = time.perf_counter()
    specs = list_kernels()
    lacking = missing(specs)
    make_ready(specs, on_compile, max(1, compile_jobs(thread_count(), memory_budget())))
    return {
        "kernels": len(specs),
        "compiled": len(lacking),
        "folder": None if kernel_cache().folder is None else str(kernel_cache().folder),
        "seconds": round(time.perf_counter() - started, 3),
    }
