"""Property-based fuzz of everything that reads what strangers send; `make fuzz`, or `python -m tests.fuzz --help`.

Each target takes one input from hypothesis, mostly a good one that is bent, and holds an invariant: no exception but
the expected ones, and nothing accepted that an independent reader refuses. The runner counts the inputs.
"""
