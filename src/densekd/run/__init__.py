"""A training from recipe to report: run folder, callbacks, loggers, preflight, quickstart."""
