"""Comparison of runs: groups of seeds, paired differences with intervals, a table and a page."""
