"""``python -m densekd``."""

from densekd.cli.app import main

main()
