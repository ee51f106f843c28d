"""Layers as in the frameworks: classes that hold a weight and a bias and turn arrays into arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine.integers import run_integer
from ..errors import ShapeError, UsageError, WeightsError
from ..formats.in_memory import ArraySource
from ..geometry import Triple
from ..graph.model import INPUT, Graph, Node
from ..graph.passes.algorithms import choose_algorithms
from ..graph.tensors import Wanted, check_shape, initial_tensor
from ..numeric import FLOATS, HALVES, INTEGERS, compute_dtype, numpy_dtype, round_to
from ..ops.base import Op, Wire
from ..ops.conv3d import Conv3d as ConvOp
from ..ops.conv_transpose3d import ConvTranspose3d as ConvTransposeOp
from ..ops.reader import Context
from ..ops.registry import get_dialect
from ..run.arrays import ArrayRun
from ..run.kept import KeptRuns, snapshot
from ..settings import memory_budget, thread_count
from ..values import Place, Values, describe
from .arguments import as_plain
from .output_size import resolve_output_padding

_DTYPES = (*FLOATS, *INTEGERS)


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
            # The default is left out, for the onnx dialect has padding in other words too and refuses both.
            **({} if type(padding) is int and padding == 0 else {"padding": padding}),
            "bias": self._wants_bias,
            **parameters,
        }
        self._values = Values({key: as_plain(value) for key, value in items.items()}, subject=self._op_name)
        self._op = self._read(self._values.integer("in_channels", minimum=1))
        if self.dtype in INTEGERS:
            _check_integers(self._op, self.dtype, self._dialect.name)
        self._runs = KeptRuns()
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
            raise WeightsError(f"{self._op_name}: found a bias, expected none (bias=False)", code="weights.shape")
        self._bias = self._fit(value, self.bias_shape, "bias")

    def _read(self, channels: int, shape: Triple | None = None) -> Op:
        """Return the operator: for an input of `shape`, or what is known of it before there is one."""
        try:
            return self._reader.read(self._values, Context(channels, shape=shape))
        except ShapeError as error:
            raise ShapeError(f"{self._op_name}: {error.message}") from error

    def _fit(self, value: Any, shape: tuple[int, ...], name: str) -> NDArray[Any]:
        array = np.asarray(value)
        if array.dtype.kind not in "iufb" and array.dtype.name != "bfloat16":
            raise WeightsError(f"{self._op_name}: {name} of type {array.dtype}, expected numbers", code="weights.type")
        check_shape(array.shape, Wanted(name, self._op, self._reader), f"{self._op_name}: {name}", Place())
        with np.errstate(over="ignore"):
            return np.array(array, dtype=numpy_dtype(self.dtype)).reshape(shape)

    def _initialise(self, init: str, seed: int) -> None:
        if init != "default":
            raise UsageError(f"{self._op_name}: found init {init!r}, expected 'default', the dialect's distribution")
        for name in self._reader.stored_shapes(self._op):
            tensor = initial_tensor(self._dialect, self._op, self._reader, name, seed, name)
            tensor = tensor.astype(numpy_dtype(self.dtype))
            setattr(self, f"_{name}", tensor)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the layer's output for `x`, in the layer's dtype.

        Parameters
        ----------
        x : (N, C, D, H, W) array
            Two-dimensional layers: (N, C, H, W). Without N where the dialect has it.
        """
        x = np.asarray(x)
        volume = self._to_volume(x)
        return self._from_volume(self._run(self._op_for(volume), volume), x.ndim)

    def _op_for(self, volume: NDArray[Any]) -> Op:
        d, h, w = volume.shape[2:]
        return self._read(self._values.get("in_channels"), (d, h, w))

    def _run(self, op: Op, volume: NDArray[Any]) -> NDArray[Any]:
        wire = Wire(volume.shape[2:], volume.shape[1], self.dtype)
        out = self._out_wire(op, wire)
        if volume.shape[0] == 0:
            return np.empty((0, out.channels, *out.shape), numpy_dtype(self.dtype))
        tensors = self._tensors(op)
        if self.dtype in INTEGERS:
            return self._run_integers(op, volume, tensors, out.shape)
        kept = compute_dtype(self.dtype)
        tensors = {name: tensor.astype(kept, copy=False) for name, tensor in tensors.items()}
        volume = round_to(volume, self.dtype) if self.dtype in HALVES else volume
        graph = Graph(wire, (Node(self._op_name, self._op_name, op, (INPUT,), out, tensors),), (self._op_name,))
        source, threads = ArraySource(volume), thread_count(None)
        settings = (source.info.batch, threads)
        run = self._runs.find(graph, settings)
        if run is None:
            graph = snapshot(graph)
            self._runs.drop_stale(graph, settings)
            if not all(np.isfinite(tensor).all() for tensor in graph.nodes[0].tensors.values()):
                return self._run_plainly(graph, volume)
            run = ArrayRun(choose_algorithms(graph), source.info.batch, memory_budget(None), threads)
            self._runs.keep(graph, settings, run)
        result = run(source)[self._op_name].astype(numpy_dtype(self.dtype), copy=False)
        return result[None] if result.ndim == 4 else result

    def _run_integers(
        self, op: Op, volume: NDArray[Any], tensors: dict[str, NDArray[Any]], shape: Triple
    ) -> NDArray[Any]:
        """Return the result for integers, which wrap at the width of their type."""
        assert isinstance(op, ConvOp | ConvTransposeOp)
        x = volume.astype(self.dtype)
        return np.stack([run_integer(op, part, tensors["weight"], tensors.get("bias"), shape) for part in x])

    def _run_plainly(self, graph: Graph, volume: NDArray[Any]) -> NDArray[Any]:
        """Return the result for weights that are not finite: taps outside the volume are skipped, not multiplied."""
        from ..engine.naive_engine import run_naive

        name, kept = graph.outputs[0], compute_dtype(self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                run_naive(graph, part.astype(kept), skip_outside=True)[name].astype(numpy_dtype(self.dtype))
                for part in volume
            ]
        return np.stack(parts)

    def _out_wire(self, op: Op, wire: Wire) -> Wire:
        try:
            return op.out_wire((wire,))
        except ShapeError as error:
            raise ShapeError(f"{self._op_name}: {error.message}") from error

    def _tensors(self, op: Op) -> dict[str, NDArray[Any]]:
        held = {"weight": self._weight, "bias": self._bias}
        tensors = {}
        for name in self._reader.stored_shapes(op):
            tensor = held[name]
            if tensor is None:
                shape = self._reader.stored_shapes(op)[name]
                message = f"{self._op_name}: no {name}; set .{name} to an array of shape {tuple(shape)}"
                raise WeightsError(message, code="weights.missing_tensor")
            tensors[name] = self._reader.canonical(op, name, tensor)
        return tensors

    def _to_volume(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return `x` as (N, C, D, H, W)."""
        batched = self._rank + 2
        if x.ndim != batched and not (x.ndim == batched - 1 and self._reader.unbatched):
            unbatched = f"{batched - 1} (unbatched) or " if self._reader.unbatched else ""
            raise ShapeError(
                f"{self._op_name}: found an input of {x.ndim} axes, expected {unbatched}{batched} (batched)"
                + ("" if self._reader.unbatched else f", as {self._dialect.name} has it")
            )
        x = x if x.ndim == batched else x[None]
        return x if self._rank == 3 else x[:, :, None]

    def _from_volume(self, result: NDArray[Any], ndim: int) -> NDArray[Any]:
        result = result if self._rank == 3 else result[:, :, 0]
        return result if ndim == self._rank + 2 else result[0]

    def __repr__(self) -> str:
        return f"{self._op_name}({self._reader.text(self._op, self._values.items)})"


class _TransposedLayer(_Layer):
    """What the transposed layers share."""

    def __call__(self, x: NDArray[Any], output_size: Any = None) -> NDArray[Any]:
        """Return the layer's output for `x`.

        Parameters
        ----------
        output_size : sequence of int, optional
            (D, H, W), or (H, W), among the sizes a stride allows; where the dialect has it.
        """
        if output_size is None:
            return super().__call__(x)
        if not self._reader.output_size:
            raise UsageError(
                f"{self._op_name}: found output_size, expected none: {self._dialect.name} does not have it"
            )
        x = np.asarray(x)
        volume = self._to_volume(x)
        for key in ("stride", "padding", "dilation"):
            given = self._values.get(key, 0)
            if isinstance(given, list | tuple) and len(given) != self._rank:
                raise UsageError(
                    f"{self._op_name}: found output_size beside {key} {describe(given)}, expected {key} as a whole "
                    f"number or a list of {self._rank}: torch takes a list of one without output_size alone"
                )
        op = self._read(self._values.get("in_channels"))
        assert isinstance(op, ConvTransposeOp)
        op = resolve_output_padding(op, x.shape, output_size, self._rank)
        return self._from_volume(self._run(op, volume), x.ndim)


class Conv3d(_Layer):
    """``torch.nn.Conv3d``, or another framework's, on NumPy arrays.

    For calls to come a layer keeps what its last two shapes of input need, up to 1 GiB besides a result of up to 1 GiB
    that was dropped: packed weights and a copy to notice changes by, and memory for a tile. It goes with the layer.
    Threads may share a layer; calls of one shape take turns.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride : int or three ints
    padding : int or three ints
        Also ``"same"`` or ``"valid"`` where the dialect has it.
    dilation : int or three ints
        Keyword only, as all that follow.
    groups : int
    bias : bool or (O,) array
        True: one is wanted, and set later or by `init`. An array may also be (1, O, 1, 1, 1).
    padding_mode : ``zeros``, ``reflect``, ``replicate`` or ``circular``
    weight : (O, I/G, kd, kh, kw) array, optional
        In the dialect's layout: megengine's is (G, O/G, I/G, kd, kh, kw) for more than one group.
    init : ``"default"``, optional
        Random initialisation from the dialect's distribution, by `seed`.
    dialect : ``torch``, ``megengine``, ``lucid`` or ``onnx``
        Whose parameters, defaults, rules and layouts hold, and whose `repr`.
    dtype : ``float32``, ``float64``, ``float16``, ``bfloat16`` or an integer type
        Of the layer: input, weight and bias are cast to it. Halves are computed in float32 and rounded once; integers,
        where the dialect has them, wrap.
    **parameters
        What else the dialect knows: `conv_mode`, `auto_pad`, `pads` and so on.

    Raises
    ------
    SpecError
        If the parameters contradict each other.
    """

    _op_name = "Conv3d"


class Conv2d(_Layer):
    """``torch.nn.Conv2d`` on NumPy arrays (N, C, H, W) or (C, H, W); weights (O, I/G, kh, kw). Else as `Conv3d`."""

    _op_name = "Conv2d"
    _rank = 2


class ConvTranspose3d(_TransposedLayer):
    """``torch.nn.ConvTranspose3d`` on NumPy arrays; weights (I, O/G, kd, kh, kw). Else as `Conv3d`."""

    _op_name = "ConvTranspose3d"


class ConvTranspose2d(_TransposedLayer):
    """``torch.nn.ConvTranspose2d`` on NumPy arrays; weights (I, O/G, kh, kw). Else as `Conv3d`."""

    _op_name = "ConvTranspose2d"
    _rank = 2


def _check_integers(op: Op, dtype: str, dialect: str) -> None:
    """Raise `UsageError` for integers where torch has none: narrow ones only undilated, and not transposed."""
    if dialect != "torch":
        raise UsageError(f"found dtype {dtype}, expected one of {', '.join(FLOATS)}: {dialect} convolves no integers")
    dilated = any(d != 1 for d in getattr(op, "dilation", ()))
    if dtype != "int64" and (dilated or isinstance(op, ConvTransposeOp)):
        raise UsageError(
            f"found dtype {dtype} for a dilated or transposed layer, expected int64 or a float, as in torch"
        )


def _dtype_name(dtype: Any) -> str:
    if isinstance(dtype, str) and dtype in _DTYPES:
        return dtype
    try:
        name = "None" if dtype is None else str(np.dtype(dtype).name)
    except TypeError:
        name = describe(dtype)
    if name not in _DTYPES:
        raise UsageError(f"found dtype {name}, expected one of {', '.join(_DTYPES)}")
    return name
