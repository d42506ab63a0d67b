"""A training from recipe to report: run folder, callbacks, metrics logger, preflight, quickstart."""
