"""Plain tensor functions that several rooms share: boxes and IoU, resize, precision, ranges."""
