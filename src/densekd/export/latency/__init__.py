"""Latency of models and artefacts: found, measured in interleaved rounds, told as rows."""
