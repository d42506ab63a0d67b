"""Plain tensor functions that several rooms share: boxes and IoU, resize, means over processes, precision, ranges."""
