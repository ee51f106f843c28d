"""ONNX Runtime on the CPU; inputs and outputs bound beforehand unless the plain call is asked for."""

from __future__ import annotations

import numpy as np
import onnxruntime

from .base import Array, Task
from .onnx_model import make_model


class OnnxRuntimeRival:
    """A session with `threads` threads inside an operator, all optimisations on, as is the default."""

    version = onnxruntime.__version__

    def __init__(self, task: Task) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            make_model(task.graph), options, providers=["CPUExecutionProvider"]
        )
        self._x = np.ascontiguousarray(task.volume)[None]
        self._y: Array | None = None
        self._is_plain = task.is_plain
        wire = task.graph.wire(task.graph.outputs[0])
        zeros = np.zeros((1, wire.channels, *wire.shape), np.float32)
        self._out = onnxruntime.OrtValue.ortvalue_from_numpy(zeros)
        self._binding = self._session.io_binding()
        self._binding.bind_cpu_input("input", self._x)
        self._binding.bind_ortvalue_output(task.graph.outputs[0], self._out)

    def run(self) -> None:
        """Compute the network once."""
        if self._is_plain:
            (self._y,) = self._session.run(None, {"input": self._x})
        else:
            self._session.run_with_iobinding(self._binding)

    def result(self) -> Array:
        """Return what the last `run` gave, as (C, d, h, w)."""
        result: Array = (self._out.numpy() if self._y is None else self._y)[0]
        return result
