"""Block size of tensor functions that work through a map part by part, on the CPU."""

# Numbers of one map that are worked on at a time: few enough to stay in a processor's cache.
BLOCK_NUMEL = 1 << 17
