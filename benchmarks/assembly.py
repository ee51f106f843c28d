"""What the machine code of a kernel's innermost loops is made of: instructions counted in the compiler's own text.

Kernels are compiled afresh, since one loaded from the cache of kernels has no text. Knows x86-64 alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from volconv.kernels import jit
from volconv.kernels.catalog import ConvShape, Epilogue, choose_conv
from volconv.kernels.conv import kernel_specs

_FUSED = re.compile(r"vfn?m(add|sub)\d+p[sd]")
_MEMORY = re.compile(r"[-\w.+]*\(([^)]*)\)")


@dataclass(frozen=True)
class Loop:
    """Instructions of one round of a loop.

    Attributes
    ----------
    register : str
        Of the multiply-adds: zmm (512 bits), ymm or xmm.
    fused : int
        Fused multiply-adds of vectors.
    loads : int
        Vectors and broadcast values read from memory, those that multiply-adds read themselves among them.
    folded : int
        Of them, those that multiply-adds read themselves.
    stores : int
        Vectors written, but for spills.
    spills : int
        Vectors written to the stack or read from there.
    others : int
        All else: addresses, counters, jumps, prefetches.
    """

    register: str
    fused: int
    loads: int
    folded: int
    stores: int
    spills: int
    others: int


@cache
def assembly_of(spec: jit.KernelSpec) -> str:
    """Return the text of the machine code of a kernel, compiled for this."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("NUMBA_CACHE_DIR")
        os.environ["NUMBA_CACHE_DIR"] = folder
        jit.kernel_cache.cache_clear()
        try:
            function = jit._make_kernel(spec).function
        finally:
            os.environ.pop("NUMBA_CACHE_DIR")
            if before is not None:
                os.environ["NUMBA_CACHE_DIR"] = before
            jit.kernel_cache.cache_clear()
    return "\n".join(function.inspect_asm().values())  # type: ignore[attr-defined]


def fused_loops(assembly: str) -> list[Loop]:
    """Return every loop that holds no other but fused multiply-adds of vectors, those with most of them first."""
    loops = {count(*loop) for loop in _innermost(assembly)}
    return sorted((loop for loop in loops if loop.fused), key=lambda loop: (-loop.fused, loop.loads, loop.others))


def main_loops(shape: ConvShape) -> list[Loop]:
    """Return the loops of a layer's kernel that do a register block's products once or more, fewest loads first."""
    kernel = choose_conv(shape)
    (spec,) = kernel_specs(kernel, shape, Epilogue())
    block = kernel.block * kernel.width
    loops = [loop for loop in fused_loops(assembly_of(spec)) if loop.fused % block == 0]
    return sorted(loops, key=lambda loop: (loop.loads / loop.fused, loop.others))


def _innermost(assembly: str) -> Iterator[tuple[bool, list[str]]]:
    """Yield, of every loop that holds no other, whether its function has a frame pointer, and its instructions."""
    lines = [line.partition("#")[0].strip() for line in assembly.splitlines()]
    starts = [i for i, line in enumerate(lines) if re.match(r"[\w$.]+:", line) and not line.startswith(".L")]
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        body = [line for line in lines[start:stop] if re.match(r"[a-z]|\.L\w+:", line)]
        blocks, nexts = _split(body)
        framed = any(re.match(r"movq\s+%rsp, %rbp", line) for line in body)
        for loop in _loops_without_loops(set(range(len(blocks))), nexts):
            yield framed, [line for number in sorted(loop) for line in blocks[number]]


def _split(body: list[str]) -> tuple[list[list[str]], list[set[int]]]:
    """Return the basic blocks of a function, and which blocks may follow each."""
    blocks: list[list[str]] = [[]]
    labels: dict[str, int] = {}
    for line in body:
        if line.endswith(":"):
            if blocks[-1]:
                blocks.append([])
            labels[line[:-1]] = len(blocks) - 1
        else:
            blocks[-1].append(line)
            if line.startswith("j"):
                blocks.append([])
    nexts: list[set[int]] = []
    for number, block in enumerate(blocks):
        name, _, target = block[-1].partition("\t") if block else ("", "", "")
        follows = {labels[target]} if name.startswith("j") and target in labels else set()
        if name not in ("jmp", "retq", "ud2") and number + 1 < len(blocks):
            follows.add(number + 1)
        nexts.append(follows)
    return blocks, nexts


def _loops_without_loops(blocks: set[int], nexts: list[set[int]]) -> Iterator[set[int]]:
    """Yield the sets of blocks that lead back to themselves and do not without their head."""
    reached = {block: _reached(block, blocks, nexts) for block in blocks}
    cycles = {frozenset(b for b in reached[a] if a in reached[b]) for a in blocks if a in reached[a]}
    for cycle in cycles:
        before = {b for b in range(len(nexts)) if b not in cycle}
        heads = {b for b in cycle if any(b in nexts[a] for a in before)} or {min(cycle)}
        cut = [follows - heads if number in cycle else follows for number, follows in enumerate(nexts)]
        inner = list(_loops_without_loops(set(cycle), cut))
        yield from inner or [set(cycle)]


def _reached(start: int, blocks: set[int], nexts: list[set[int]]) -> set[int]:
    """Return the blocks that one or more steps lead to."""
    found = set[int]()
    todo = [start]
    while todo:
        new = (nexts[todo.pop()] & blocks) - found
        found |= new
        todo.extend(new)
    return found


def count(framed: bool, instructions: list[str]) -> Loop:
    """Return what a loop is made of; `framed` says that rbp points to the stack."""
    fused = loads = folded = stores = spills = others = 0
    registers = set[str]()
    for line in instructions:
        name, _, operands = line.partition("\t")
        memory = _MEMORY.search(operands)
        is_fused = _FUSED.fullmatch(name) is not None
        if is_fused:
            fused += 1
            registers |= set(re.findall(r"%([xyz]mm)", operands))
        if memory and name.startswith("v") and re.search(r"%[xyz]mm", operands):
            base = memory[1].partition(",")[0]
            is_spill = base == "%rsp" or (framed and base == "%rbp")
            is_store = memory.end() == len(operands)
            spills += is_spill
            stores += is_store and not is_spill
            loads += not is_store and not is_spill
            folded += is_fused
        elif not is_fused:
            others += 1
    return Loop(max(registers, default=""), fused, loads, folded, stores, spills, others)
