"""Triton kernels for CUDA, imported only where a tensor on such a device asks for them."""
