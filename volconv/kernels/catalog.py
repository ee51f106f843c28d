"""What each kernel can do: the one file of this folder that planning may import; it knows nothing of numba.

(filled in by the kernel work: see `ConvShape`, `ConvKernel`, `choose_conv`, `vector_bits`)
"""
