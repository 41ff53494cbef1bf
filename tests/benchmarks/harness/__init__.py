"""What the benchmarks share: samples and percentiles, an agent to measure, floors to compare with, the report."""
