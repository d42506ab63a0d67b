"""Converters of engines in environments of their own, each started by path: they import no densekd."""
