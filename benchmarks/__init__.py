"""Benchmarks: each compares with something real in the same run and reports ratios and memory."""
