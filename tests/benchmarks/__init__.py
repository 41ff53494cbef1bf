"""What mee6 costs, one file a question: `python -m tests.benchmarks [names...] [--quick] [--out DIR] [--list]`.

A benchmark measures and never judges: nothing here asserts on a clock. How to add one: a module beside this
one, whose docstring's first line is the question, with `async def measure(bench: Bench) -> None`.
"""
