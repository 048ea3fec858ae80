"""On NumPy a step is recorded too: as a list of calls, which are then made again between arrays that stay in place.

`recorder` writes down what a step asks NumPy for. `side_by_side` asks for the same in fewer calls; so do `products`,
`scaled_products`, `combinations`, `quotients`, `parts_of_products`, `parts_of_operands`, `columns`, `sums` and
`inner_products`, where rounding may fall elsewhere. `handed_over`, `blocks` and `memory` decide in which order, in what
pieces and where it is computed; `program` puts it together, in one way or two; `alternatives` plays the faster.
`call` is what they all speak of, `numbers` and `polynomials` what multiples are made of.
"""

from .alternatives import Alternatives
from .memory import copy_to_page
from .program import Program, make_programs
from .recorder import NotRecordableError, Recorder, Recording

__all__ = [
    "Alternatives",
    "NotRecordableError",
    "Program",
    "Recorder",
    "Recording",
    "copy_to_page",
    "make_programs",
]
