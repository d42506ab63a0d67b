"""Block size of blocked CPU algorithms, which process a map part by part."""

# Numbers of one map that are processed at a time: few enough to stay in a processor's cache.
BLOCK_NUMEL = 1 << 17
