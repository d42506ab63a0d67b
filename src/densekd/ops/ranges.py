"""Annotated number types for constructor signatures: they validate a recipe's options.

A loss states its range where it states its type, and nowhere else::

    def __init__(self, temperature: Positive = 4.0, masked: Fraction = 0.65) -> None: ...

``densekd.registry.construct`` hands the annotations to pydantic. A constructor that is called from
Python checks nothing. Other ranges are written in place: ``Annotated[int, Ge(2)]``.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
# A share of a whole, both ends included.
Fraction = Annotated[float, Ge(0), Le(1)]
# A share that leaves something over: dropout, momentum, decay.
ProperFraction = Annotated[float, Ge(0), Lt(1)]
PositiveInt = Annotated[int, Gt(0)]
# Width of a layer; more is a mistyped number that would fill the memory.
Channels = Annotated[int, Gt(0), Le(8192)]
# The same, where zero leaves the part out.
OptionalChannels = Annotated[int, Ge(0), Le(8192)]
# Layers one behind the other.
Depth = Annotated[int, Ge(0), Le(1000)]
NonNegativeInt = Annotated[int, Ge(0)]
# Factor on the size of an image.
Scale = Annotated[float, Gt(0), Le(10)]
# (height, width) of a map, a window or a pooling kernel.
Size = tuple[PositiveInt, PositiveInt]
