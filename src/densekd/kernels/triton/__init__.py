"""The same for CUDA, in Triton; imported only where a tensor on such a device asks for it."""
