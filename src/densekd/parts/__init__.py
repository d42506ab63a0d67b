"""The parts of a training, each made from its section of a recipe; :mod:`densekd.build` puts them together."""
