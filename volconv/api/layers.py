"""Layers as in the frameworks: classes that hold a weight and a bias and turn arrays into arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError, UsageError, WeightsError
from ..formats.in_memory import ArraySource
from ..graph.model import INPUT, Graph, Node
from ..graph.tensors import initial_tensor
from ..ops.base import Op, Wire
from ..ops.conv_transpose3d import ConvTranspose3d as ConvTransposeOp
from ..ops.reader import Context
from ..ops.registry import get_dialect
from ..run.arrays import run_graph
from ..settings import memory_budget, thread_count
from ..values import Values, describe
from .arguments import as_plain
from .output_size import resolve_output_padding

_DTYPES = ("float32", "float64")


class _Layer:
    """What the layers share: parameters read by the dialect, a weight and a bias checked when they are set."""

    _op_name: ClassVar[str]
    _rank: ClassVar[int] = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        *,
        bias: Any = True,
        weight: Any = None,
        init: str | None = None,
        seed: int = 0,
        dialect: str = "torch",
        dtype: Any = "float32",
        **parameters: Any,
    ) -> None:
        self.dtype = _dtype_name(dtype)
        self._dialect = get_dialect(dialect)
        self._reader = self._dialect.readers[self._op_name]
        self._wants_bias = bool(bias) if isinstance(bias, bool | np.bool_) else True
        items = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "bias": self._wants_bias,
            **parameters,
        }
        values = Values({key: as_plain(value) for key, value in items.items()}, subject=self._op_name)
        self._op = self._reader.read(values, Context(values.integer("in_channels", minimum=1)))
        self._padding_text = padding if isinstance(padding, str) else None
        self._weight: NDArray[Any] | None = None
        self._bias: NDArray[Any] | None = None
        if init is not None:
            self._initialise(init, seed)
        if weight is not None:
            self.weight = weight
        if not isinstance(bias, bool | np.bool_):
            self.bias = bias

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape wanted of the weight, in the dialect's layout."""
        return tuple(self._reader.stored_shapes(self._op)["weight"])

    @property
    def bias_shape(self) -> tuple[int, ...] | None:
        """The shape wanted of the bias; None where the layer has none."""
        shape = self._reader.stored_shapes(self._op).get("bias")
        return None if shape is None else tuple(shape)

    @property
    def weight(self) -> NDArray[Any] | None:
        """The weight in the dialect's layout; None while it is missing."""
        return self._weight

    @weight.setter
    def weight(self, value: Any) -> None:
        self._weight = self._fit(value, self.weight_shape, "weight")

    @property
    def bias(self) -> NDArray[Any] | None:
        """The bias; None while it is missing or where the layer has none."""
        return self._bias

    @bias.setter
    def bias(self, value: Any) -> None:
        if self.bias_shape is None:
            raise WeightsError(f"{self._op_name}: found a bias, expected none (bias=False)")
        array = np.asarray(value)
        count = self.bias_shape[0]
        if array.shape == (1, count, *[1] * self._rank):
            array = array.reshape(count)
        self._bias = self._fit(array, self.bias_shape, "bias")

    def _fit(self, value: Any, shape: tuple[int, ...], name: str) -> NDArray[Any]:
        array = np.asarray(value)
        if array.dtype.kind not in "iufb":
            raise WeightsError(f"{self._op_name}: {name} of type {array.dtype}, expected numbers")
        if array.shape != shape:
            raise WeightsError(f"{self._op_name}: {name} of shape {array.shape}, expected {shape}")
        return np.array(array, dtype=self.dtype)

    def _initialise(self, init: str, seed: int) -> None:
        if init != "default":
            raise UsageError(f"{self._op_name}: found init {init!r}, expected 'default', the dialect's distribution")
        for name, shape in self._reader.stored_shapes(self._op).items():
            tensor = initial_tensor(self._dialect, self._op, shape, seed, name).astype(self.dtype)
            setattr(self, f"_{name}", tensor)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the layer's output for `x` (N, C, D, H, W) or (C, D, H, W), in the layer's dtype."""
        return self._run(self._op, x)

    def _run(self, op: Op, x: NDArray[Any]) -> NDArray[Any]:
        x = np.asarray(x)
        volume = self._to_volume(x)
        if volume.shape[0] == 0:
            return self._empty(op, x, volume)
        tensors = self._tensors(op)
        wire = Wire(volume.shape[2:], volume.shape[1], self.dtype)
        node = Node(self._op_name, self._op_name, op, (INPUT,), self._out_wire(op, wire), tensors)
        graph = Graph(wire, (node,), (node.name,))
        if all(np.isfinite(tensor).all() for tensor in tensors.values()):
            result = run_graph(graph, ArraySource(volume), memory_budget(None), thread_count(None))[node.name]
        else:
            result = self._run_plainly(graph, volume)
        result = result[None] if result.ndim == 4 else result
        return self._from_volume(result, x.ndim)

    def _run_plainly(self, graph: Graph, volume: NDArray[Any]) -> NDArray[Any]:
        """Return the result for weights that are not finite: taps outside the volume are skipped, not multiplied."""
        from ..engine.naive_engine import run_naive

        name = graph.outputs[0]
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                run_naive(graph, part.astype(self.dtype), skip_outside=True)[name].astype(self.dtype) for part in volume
            ]
        return np.stack(parts)

    def _out_wire(self, op: Op, wire: Wire) -> Wire:
        try:
            return op.out_wire((wire,))
        except ShapeError as error:
            raise ShapeError(f"{self._op_name}: {error.message}") from error

    def _empty(self, op: Op, x: NDArray[Any], volume: NDArray[Any]) -> NDArray[Any]:
        wire = self._out_wire(op, Wire(volume.shape[2:], volume.shape[1], self.dtype))
        return self._from_volume(np.empty((0, wire.channels, *wire.shape), self.dtype), x.ndim)

    def _tensors(self, op: Op) -> dict[str, NDArray[Any]]:
        held = {"weight": self._weight, "bias": self._bias}
        tensors = {}
        for name in self._reader.stored_shapes(op):
            tensor = held[name]
            if tensor is None:
                shape = self._reader.stored_shapes(op)[name]
                raise WeightsError(f"{self._op_name}: no {name}; set .{name} to an array of shape {tuple(shape)}")
            tensors[name] = self._reader.canonical(op, name, tensor)
        return tensors

    def _to_volume(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return `x` as (N, C, D, H, W)."""
        if x.ndim not in (self._rank + 1, self._rank + 2):
            raise ShapeError(
                f"{self._op_name}: found an input of {x.ndim} axes, expected {self._rank + 1} (unbatched) or "
                f"{self._rank + 2} (batched)"
            )
        return x if x.ndim == self._rank + 2 else x[None]

    def _from_volume(self, result: NDArray[Any], ndim: int) -> NDArray[Any]:
        return result if ndim == self._rank + 2 else result[0]

    def __repr__(self) -> str:
        return format_layer(self._op_name, self._op, self._rank, self._padding_text)


class Conv3d(_Layer):
    """``torch.nn.Conv3d`` on NumPy arrays.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride : int or three ints
    padding : int, three ints, ``"same"`` or ``"valid"``
    dilation : int or three ints
        Keyword only, as all that follow.
    groups : int
    bias : bool or (O,) array
        True: one is wanted, and set later or by `init`.
    padding_mode : ``zeros``, ``reflect``, ``replicate`` or ``circular``
    weight : (O, I/G, kd, kh, kw) array, optional
    init : ``"default"``, optional
        Random initialisation from the dialect's distribution, by `seed`.
    dialect : str
    dtype : ``float32`` or ``float64``
        Of the layer: input, weight and bias are cast to it.

    Raises
    ------
    SpecError
        If the parameters contradict each other.
    """

    _op_name = "Conv3d"


class Conv2d(_Layer):
    """``torch.nn.Conv2d`` on NumPy arrays (N, C, H, W) or (C, H, W); weights (O, I/G, kh, kw)."""

    _op_name = "Conv2d"
    _rank = 2

    def _to_volume(self, x: NDArray[Any]) -> NDArray[Any]:
        return super()._to_volume(x)[:, :, None]

    def _from_volume(self, result: NDArray[Any], ndim: int) -> NDArray[Any]:
        return super()._from_volume(result[:, :, 0], ndim)


class ConvTranspose3d(_Layer):
    """``torch.nn.ConvTranspose3d`` on NumPy arrays; weights (I, O/G, kd, kh, kw), `output_padding` keyword only."""

    _op_name = "ConvTranspose3d"

    def __call__(self, x: NDArray[Any], output_size: Any = None) -> NDArray[Any]:
        """Return the layer's output for `x`; `output_size` (D, H, W) chooses among the sizes a stride allows."""
        if output_size is None:
            return self._run(self._op, x)
        assert isinstance(self._op, ConvTransposeOp)
        return self._run(resolve_output_padding(self._op, np.shape(x), output_size), x)


def _dtype_name(dtype: Any) -> str:
    try:
        name = "None" if dtype is None else str(np.dtype(dtype).name)
    except TypeError:
        name = describe(dtype)
    if name not in _DTYPES:
        raise UsageError(f"found dtype {name}, expected one of {', '.join(_DTYPES)}")
    return name


def format_layer(name: str, op: Any, rank: int, padding_text: str | None) -> str:
    """Return what torch prints for the layer."""

    def last(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(values[3 - rank :])

    parts = [f"{op.in_channels}, {op.out_channels}", f"kernel_size={last(op.kernel_size)}", f"stride={last(op.stride)}"]
    if padding_text is not None:
        parts.append(f"padding={padding_text}")
    elif any(op.pad_low):
        parts.append(f"padding={last(op.pad_low)}")
    if op.dilation != (1, 1, 1):
        parts.append(f"dilation={last(op.dilation)}")
    if any(getattr(op, "output_padding", (0,))):
        parts.append(f"output_padding={last(op.output_padding)}")
    if op.groups != 1:
        parts.append(f"groups={op.groups}")
    if not op.bias:
        parts.append("bias=False")
    if op.padding_mode != "zeros":
        parts.append(f"padding_mode={op.padding_mode}")
    return f"{name}({', '.join(parts)})"
