"""OpenVINO on the CPU, tuned for latency, in float32: left alone it would round to bfloat16 where AMX is at hand."""

from __future__ import annotations

import numpy as np
import openvino

from .base import Array, Task
from .onnx_model import make_model


class OpenVinoRival:
    """A compiled model; tensors are set beforehand unless the plain call is asked for."""

    version = openvino.__version__.partition("-")[0]

    def __init__(self, task: Task) -> None:
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": task.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._compiled = core.compile_model(core.read_model(make_model(task.graph)), "CPU", settings)
        self._x = np.ascontiguousarray(task.volume)[None]
        wire = task.graph.wire(task.graph.outputs[0])
        self._y: Array = np.zeros((1, wire.channels, *wire.shape), np.float32)
        self._is_plain = task.is_plain
        self._request = self._compiled.create_infer_request()
        self._request.set_input_tensor(openvino.Tensor(self._x, shared_memory=True))
        self._request.set_output_tensor(openvino.Tensor(self._y, shared_memory=True))

    def run(self) -> None:
        """Compute the network once."""
        if self._is_plain:
            self._y = self._compiled(self._x)[0]
        else:
            self._request.infer()

    def result(self) -> Array:
        """Return what the last `run` gave, as (C, d, h, w)."""
        result: Array = self._y[0]
        return result
