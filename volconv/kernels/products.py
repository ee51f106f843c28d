"""The products of convolution kernels: fused multiply-adds of a block of sums with inputs and weights from memory."""

from __future__ import annotations

from typing import Any

from numba import types

from .blocks import INT64, Block, Vectors, intrinsic, join_block, split_block


@intrinsic
def fma_voxels(_context: Any, sums: Any, inputs: Any, places: Any, weights: Any) -> Any:
    """Return sums[r, c] + inputs[places[r]] * weights vector c: rows are voxels, columns vectors of channels."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, sums)
        values = split_block(builder, sums, args[0])
        filters = [vectors.load(vectors.at(args[3], c * sums.lanes)) for c in range(sums.columns)]
        for r in range(sums.rows):
            place = builder.load(vectors.at(args[2], r))
            voxel = vectors.spread(builder.load(vectors.at(args[1], place)))
            for c, column in enumerate(filters):
                i = r * sums.columns + c
                values[i] = vectors.fma(voxel, column, values[i])
        return join_block(builder, sums, values)

    return sums(sums, inputs, places, weights), build


@intrinsic
def fma_channels(_context: Any, sums: Any, inputs: Any, places: Any, weights: Any) -> Any:
    """Return sums[r, c] + vector c at inputs + places[r] * weights vector c: rows are voxels, columns channels."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, sums)
        values = split_block(builder, sums, args[0])
        filters = [vectors.load(vectors.at(args[3], c * sums.lanes)) for c in range(sums.columns)]
        for r in range(sums.rows):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], r)))
            for c, column in enumerate(filters):
                i = r * sums.columns + c
                values[i] = vectors.fma(vectors.load(vectors.at(start, c * sums.lanes)), column, values[i])
        return join_block(builder, sums, values)

    return sums(sums, inputs, places, weights), build


SLID = 3
"""Taps that `fma_slid` takes at a time: their weights and the sums of a block fit the registers."""


@intrinsic
def fma_slid(_context: Any, sums: Any, inputs: Any, _step: Any, weights: Any) -> Any:
    """Do `fma_channels` for `SLID` taps one after the other, where voxels and taps lie `step` elements apart.

    Each input is loaded once for all its taps: a load a product holds up the multipliers. Every sum takes its taps in
    order, as its inputs come in order.
    """

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors, lanes = Vectors(builder, sums), sums.lanes
        values, start = split_block(builder, sums, args[0]), args[1]
        filters = [vectors.load(vectors.at(args[3], i * lanes)) for i in range(SLID * sums.columns)]
        for voxel in range(sums.rows + SLID - 1):
            for c in range(sums.columns):
                read = vectors.load(vectors.at(start, c * lanes))
                for tap in range(max(0, voxel - sums.rows + 1), min(SLID, voxel + 1)):
                    i = (voxel - tap) * sums.columns + c
                    values[i] = vectors.fma(read, filters[tap * sums.columns + c], values[i])
            start = vectors.at(start, args[2])
        return join_block(builder, sums, values)

    return sums(sums, inputs, types.int64, weights), build


def _fma_lanes(builder: Any, sums: Block, args: Any, low: int, high: int) -> Any:
    """Generate `fma_lanes` for the columns `low` to `high`; args are sums, inputs, spacing, weights."""
    vectors = Vectors(builder, sums)
    values = split_block(builder, sums, args[0])
    voxels = []
    for r in range(sums.rows):
        if sums.step == 0:
            start = vectors.at(args[1], builder.mul(args[2], INT64(r * sums.lanes)))
            voxels.append(vectors.load_spaced(start, args[2]))
        else:
            start = vectors.at(args[1], r * sums.lanes * sums.step)
            voxels.append(vectors.load_spaced(start, sums.step))
    for c in range(low, high):
        weight = vectors.spread(builder.load(vectors.at(args[3], c - low)))
        for r, row in enumerate(voxels):
            i = r * sums.columns + c
            values[i] = vectors.fma(weight, row, values[i])
    return join_block(builder, sums, values)


@intrinsic
def fma_lanes(_context: Any, sums: Any, inputs: Any, _spacing: Any, weights: Any) -> Any:
    """Return sums[r, c] + input vector r * weights[c]: rows are vectors of voxels `spacing` apart, columns channels."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fma_lanes(builder, sums, args, 0, sums.columns)

    return sums(sums, inputs, types.int64, weights), build


@intrinsic
def fma_span(_context: Any, span: Any, sums: Any, inputs: Any, _spacing: Any, weights: Any) -> Any:
    """Do `fma_lanes` in the columns of a span only; the first of them takes weights[0]."""
    low, high = span.instance_type.low, span.instance_type.high

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fma_lanes(builder, sums, args[1:], low, high)

    return sums(span, sums, inputs, types.int64, weights), build


@intrinsic
def fma_rising(_context: Any, sums: Any, inputs: Any, places: Any, weights: Any) -> Any:
    """Do the first of `columns` steps of rows that follow each other: step i adds inputs[places[i]] to columns 0 to i.

    Column c takes weights[c - i]. There is one step less than columns: from then on all of them take part.
    """

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors, block = Vectors(builder, sums), args[0]
        for i in range(sums.columns - 1):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], i)))
            block = _fma_lanes(builder, sums, [block, start, None, vectors.at(args[3], -i)], 0, i + 1)
        return block

    return sums(sums, inputs, places, weights), build


@intrinsic
def fma_falling(_context: Any, sums: Any, inputs: Any, places: Any, weights: Any) -> Any:
    """Do the last of such steps: step i adds inputs[places[i]] times weights[c - i - 1] to the columns c behind i."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors, block = Vectors(builder, sums), args[0]
        for i in range(sums.columns - 1):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], i)))
            block = _fma_lanes(builder, sums, [block, start, None, args[3]], i + 1, sums.columns)
        return block

    return sums(sums, inputs, places, weights), build


@intrinsic
def fma_column(_context: Any, sums: Any, inputs: Any, places: Any, weight: Any) -> Any:
    """Return sums[r, c] + input vector r at inputs + places[c] * weight[0]."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors, block = Vectors(builder, sums), args[0]
        for c in range(sums.columns):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], c)))
            block = _fma_lanes(builder, sums, [block, start, None, args[3]], c, c + 1)
        return block

    return sums(sums, inputs, places, weight), build
