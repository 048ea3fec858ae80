"""The mathematics of a multilayer perceptron, in pure Array API.

Nothing here depends on an array library: every function takes the array namespace as its first argument, ``xp``, uses
only what the standard (2024.12 or newer) defines, and returns its result. Every function works with any number of
leading *model* axes: without one it computes one network, with one a population of networks.

Read in this order: `layers`, `activations`, `losses`, `network`, `optimizers`, `objective`, `step`; `initializers` and
`dropout` hold the randomness. The equations are derived in ``docs/derivation.md``.
"""
