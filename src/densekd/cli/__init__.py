"""The command line: one thin function per command."""

from densekd.cli.app import main

__all__ = ["main"]
