"""The engine: a training step is traced once, planned, and then executed again and again without the mathematics.

Why: a step of a small network is some fifty array calls, and most of its time goes to making them. Each asks for new
memory, each goes once through arrays that the next one fetches again, and the same update is made for every weight and
every bias. None of that depends on the numbers, so it is decided once. The result is equal to the plain loop
(`Backend.run_epoch`) **to the bit**: an operation is never replaced by one that rounds differently.

How, in the order of the code:

1. `tracing` runs one step on `TracedArray`s and writes down an `Op` for every array call: a function, its arguments,
   and which of them is its output. A step that cannot be repeated by its calls alone, because it looks at a number, is
   refused with `NotTraceableError`, and the backend goes on with the plain loop.
2. `plan.make_plan` turns the ops into a `Plan`, a flat list of calls whose arrays all exist before the first is made.
   Four transformations; in brackets the share of an epoch that each saves, SGD and Adam at 784-128-10, Nesterov at
   64-256-10, Adam at 20-64-2:

   - `transpose_short_rows` reduces ten classes of many rows column by column (0, 2, 2, 3 %; populations of small
     networks 5 to 38 %).
   - `horizontal_fusion` makes one call of the equal calls that update small arrays, such as each weight and each bias:
     their arrays are laid side by side in one buffer (0, 2, 4, 21 %).
   - `elide_copies` computes a new state where the old one is (1, 6, 2, 3 %; a population's with Adam 12 %).
   - `plan_buffers` lets results share memory, or overwrite operands (8, 18, 11, 3 %).
3. `Plan.execute` makes the calls.

Tracing and planning take 4 to 10 ms, as long as 20 to 100 steps of the networks above save.

`captured_step` and `captured_epoch` connect that to training. They serve CUDA graphs as well, which capture the same
step on a device: a *captured step* reads and writes buffers that never move.

``python benchmarks/engine.py --parts`` switches the transformations off in turn.
"""

from .plan import Plan, make_plan
from .tracing import NotTraceableError, Trace, Tracer

__all__ = ["NotTraceableError", "Plan", "Trace", "Tracer", "make_plan"]
