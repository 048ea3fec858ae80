"""The mathematics of a multilayer perceptron, in pure Array API.

Nothing here knows any array library: every function takes the array namespace as its first argument, ``xp``, uses
only what the standard (2024.12 or newer) defines, and returns what it computes. Every function works over any number
of leading *model* axes: with none it is one network, with one it is a population trained by the same lines.

Read in this order: `layers`, `activations`, `losses`, `network`, `optimizers`, `objective`, `step`; `initializers` and
`dropout` hold the randomness. The equations are derived in ``docs/derivation.md``.
"""
