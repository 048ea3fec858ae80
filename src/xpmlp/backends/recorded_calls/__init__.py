"""On NumPy a step is recorded too: as a list of calls, which are then made again between arrays that stay in place.

`recorder` writes down what a step asks NumPy for; `products` and `combinations` ask for the same in fewer calls, where
rounding may differ; `blocks` and `memory` decide in which order, in what pieces and where it is computed; `program`
puts it together. `call` is what they all speak of.
"""

from .program import Program, make_program
from .recorder import NotRecordableError, Recorder, Recording

__all__ = ["NotRecordableError", "Program", "Recorder", "Recording", "make_program"]
