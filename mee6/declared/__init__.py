"""Declared workflows: a graph of steps in the manifest, run where the steps are.

Pure, of the standard library and msgspec alone: the agent, the proxy of a worker and the desk all read it. Its design
stands in README.md.
"""
