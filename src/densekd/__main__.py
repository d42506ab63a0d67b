"""``python -m densekd``."""

from densekd.cli import main

main()
