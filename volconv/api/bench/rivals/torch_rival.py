"""PyTorch, in its own layout or in channels_last_3d, without gradients, in place where a value is used once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ....graph.model import INPUT, Node
from ....graph.passes.factor import factor_filters
from ....ops.affine import Affine
from ....ops.conv3d import Conv3d
from ....ops.conv_transpose3d import ConvTranspose3d
from ..zeros import pad_with_zeros
from .base import Array, Task

Tensor = Any


class TorchRival:
    """A graph as a list of torch calls; `passes` splits separable filters into one-axis convolutions first."""

    version = torch.__version__

    def __init__(self, task: Task, last: bool, passes: bool = False) -> None:
        torch.set_num_threads(task.threads)
        torch.set_grad_enabled(False)
        graph = pad_with_zeros(task.graph)
        graph = factor_filters(graph, sweep=False) if passes else graph
        self._format = torch.channels_last_3d if last else torch.contiguous_format
        self._is_plain = task.is_plain
        self._x = torch.from_numpy(task.volume)[None]
        if not task.is_plain:
            self._x = self._x.contiguous(memory_format=self._format)
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        # the input is needed again by the next call
        self._uses[INPUT] += 1
        self._output = graph.outputs[0]
        self._uses[self._output] += 1
        self._steps = [(node.name, node.inputs, self._step(node)) for node in graph.nodes]
        self._y: Tensor = None

    def run(self) -> None:
        """Compute the network once; values are let go when their last reader has run."""
        values: dict[str, Tensor] = {INPUT: self._x}
        left = self._uses.copy()
        for name, inputs, step in self._steps:
            left.subtract(inputs)
            values[name] = step([values[i] if left[i] else values.pop(i) for i in inputs])
        self._y = values[self._output]
        if self._is_plain:
            self._y = self._y.contiguous()

    def result(self) -> Array:
        """Return what the last `run` gave, as (C, d, h, w)."""
        result: Array = self._y[0].numpy()
        return result

    def _step(self, node: Node) -> Callable[[list[Tensor]], Tensor]:
        """Return the call that computes `node` from its inputs."""
        op = node.op
        if isinstance(op, Conv3d | ConvTranspose3d):
            assert op.pad_low == op.pad_high
            weight = torch.from_numpy(node.tensors["weight"].astype("float32")).contiguous(memory_format=self._format)
            bias = torch.from_numpy(node.tensors["bias"].astype("float32")) if op.bias else None
            if isinstance(op, Conv3d):
                settings: tuple[Any, ...] = (op.stride, op.pad_low, op.dilation, op.groups)
                return lambda x: functional.conv3d(x[0], weight, bias, *settings)
            settings = (op.stride, op.pad_low, op.output_padding, op.groups, op.dilation)
            return lambda x: functional.conv_transpose3d(x[0], weight, bias, *settings)
        in_place = node.inputs[0] != INPUT and self._uses[node.inputs[0]] == 1
        if node.op_name == "ReLU":
            return lambda x: functional.relu(x[0], in_place)
        if node.op_name == "Add":
            return (lambda x: x[0].add_(x[1])) if in_place else (lambda x: x[0] + x[1])
        if isinstance(op, Affine) and len(op.scale) == 1 and op.shift == (0.0,):
            (scale,) = op.scale
            return lambda x: x[0] * scale
        raise NotImplementedError(f"{node.op_name} in torch")
