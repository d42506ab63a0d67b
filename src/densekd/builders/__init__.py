"""The parts of a training, each made from its section of a recipe; :mod:`densekd.builders.build` puts them together."""
