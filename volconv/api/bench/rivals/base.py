"""What the timing asks of another library, and the names it is asked for by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from numpy.typing import NDArray

from ....graph.model import Graph

Array = NDArray[Any]


class Rival(Protocol):
    """One library with a network loaded and an input at hand."""

    version: str

    def run(self) -> None:
        """Compute the network once."""

    def result(self) -> Array:
        """Return what the last `run` gave, as (C, d, h, w)."""


@dataclass(frozen=True)
class Task:
    """What a rival is made from.

    Attributes
    ----------
    graph : Graph
        Before any pass.
    volume : (C, D, H, W) array
        float32, C-ordered.
    threads : int
    is_plain : bool
        Whether `run` is the call a user types, from a C-ordered array to a new one of the same order; else whatever
        layout and buffers suit the library best, made beforehand.
    """

    graph: Graph
    volume: Array
    threads: int
    is_plain: bool


@dataclass(frozen=True)
class Entry:
    """A rival by name.

    Attributes
    ----------
    title : str
        As in tables.
    maker : str
        ``module:function`` of this folder.
    options : mapping
        Handed to the function beside the task.
    library : str
        As in the list of versions.
    only_filters : bool
        Whether it computes Gaussians alone, and those as passes along the axes.
    """

    title: str
    maker: str
    options: Mapping[str, Any]
    library: str
    only_filters: bool = False


ENTRIES: dict[str, Entry] = {
    "torch": Entry("torch", "torch_rival:TorchRival", {"last": False}, "torch"),
    "torch-channels-last": Entry("torch channels_last", "torch_rival:TorchRival", {"last": True}, "torch"),
    "onnxruntime": Entry("ONNX Runtime", "onnxruntime_rival:OnnxRuntimeRival", {}, "onnxruntime"),
    "openvino": Entry("OpenVINO", "openvino_rival:OpenVinoRival", {}, "openvino"),
    "scipy": Entry("scipy", "scipy_rival:ScipyRival", {}, "scipy", True),
    "torch-passes": Entry("torch, three 1-D", "torch_rival:TorchRival", {"last": False, "passes": True}, "torch", True),
}


def make_rival(name: str, task: Task) -> Rival:
    """Return the rival called `name`, ready to run.

    Raises
    ------
    ImportError
        The library is not installed.
    """
    entry = ENTRIES[name]
    module, _, function = entry.maker.partition(":")
    maker: Callable[..., Rival] = getattr(import_module(f"{__package__}.{module}"), function)
    return maker(task, **entry.options)
