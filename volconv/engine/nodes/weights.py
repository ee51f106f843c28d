"""What convolutions and transposed ones share: their kernels, and their weights as kernels want them."""

from __future__ import annotations

from ...graph.model import Node
from ...kernels.catalog import ConvShape, Epilogue
from ...kernels.conv import kernel_specs
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...ops.conv3d import Conv3d
from ...ops.conv_transpose3d import ConvTranspose3d
from ...plan.buffers import conv_shape
from ...plan.model import Plan
from ..epilogue import make_epilogue
from .base import Array


def layer_shape(node: Node) -> ConvShape:
    """Return what the choice of the node's kernel depended on."""
    assert isinstance(node.op, Conv3d | ConvTranspose3d)
    return conv_shape(node.op, node.wire.dtype, node.algorithm)


def layer_kernels(node: Node, plan: Plan) -> list[KernelSpec]:
    """Return the kernels of a layer."""
    return kernel_specs(plan.kernels[node.name], layer_shape(node), layer_epilogue(node))


def layer_epilogue(node: Node) -> Epilogue:
    """Return what follows a layer's sums."""
    return make_epilogue(node.epilogue, node.wire.channels, compute_dtype(node.wire.dtype))


def layer_tensors(node: Node) -> tuple[Array, Array | None]:
    """Return weight and bias in the compute type; of a factored filter the vectors it is the product of."""
    dtype = compute_dtype(node.wire.dtype)
    weight = node.tensors["factors" if node.algorithm == "factored" else "weight"].astype(dtype)
    bias = node.tensors.get("bias")
    return weight, None if bias is None else bias.astype(dtype)
