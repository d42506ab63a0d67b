"""Conversion of other projects' configurations and commands to recipes, read as data alone."""

from densekd.convert_config.convert import SYSTEMS, Converted, convert_command, convert_file

__all__ = ["SYSTEMS", "Converted", "convert_command", "convert_file"]
