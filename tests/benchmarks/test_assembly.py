"""Loops are found and counted as they stand in the text; those of the kernels use whole registers and spill none."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from benchmarks.assembly import Loop, assembly_of, fused_loops, main_loops
from benchmarks.kernel_layers import LAYERS
from volconv.kernels.catalog import Epilogue, choose_conv, vector_bits
from volconv.kernels.conv import kernel_specs

ROOT = Path(__file__).parents[2]
NESTED = """
kernel:
	pushq	%rbp
.LBB0_1:
	vfmadd231ps	%zmm3, %zmm4, %zmm5
	jmp	.LBB0_4
.LBB0_2:
	incq	%rax
	cmpq	%rax, %rbx
	jne	.LBB0_1
	retq
	.p2align	4
.LBB0_4:                                # the inner loop lies behind the outer one's end
	vmovups	-64(%rax,%rcx,4), %zmm1
	vbroadcastss	(%rdx), %zmm2
	vfmadd231ps	%zmm1, %zmm2, %zmm3
	vfmadd231ps	(%rsi){1to16}, %zmm1, %zmm4
	vmovups	%zmm3, 128(%rsp)
	vmovups	%zmm4, (%rdi)
	vfmadd231ss	%xmm1, %xmm2, %xmm3
	prefetcht0	(%rax)
	decq	%rcx
	jne	.LBB0_4
	jmp	.LBB0_2
other:
.LBB1_1:
	vfmadd231pd	(%rbp), %ymm1, %ymm2
	jmp	.LBB1_1
"""


def test_loops_are_found_wherever_they_lie():
    assert fused_loops(NESTED) == [
        Loop("zmm", fused=2, loads=3, folded=1, stores=1, spills=1, others=4),
        Loop("ymm", fused=1, loads=1, folded=1, stores=0, spills=0, others=1),
    ]


def test_the_page_has_every_layer():
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert not [layer.name for layer in LAYERS if page.count(f"| {layer.name} |") != 3]
    assert not [layer.name for layer in LAYERS if f"| {layer.family} | {layer.name} |" not in page]


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads machine code of x86-64")
@pytest.mark.parametrize("layer", LAYERS, ids=[layer.name for layer in LAYERS])
def test_inner_loops_use_whole_registers_and_spill_none(layer):
    register = {512: "zmm", 256: "ymm", 128: "xmm"}[vector_bits()]
    kernel = choose_conv(layer.shape)
    loops = main_loops(layer.shape)
    assert loops
    (spec,) = kernel_specs(kernel, layer.shape, Epilogue())
    for loop in fused_loops(assembly_of(spec)):
        assert loop.register == register
        assert loop.spills == 0
    if kernel.name in ("last", "first", "winograd", "minimal", "pairs", "phases"):
        assert loops[0].stores == 0
        assert loops[0].loads <= 1.2 * loops[0].fused
