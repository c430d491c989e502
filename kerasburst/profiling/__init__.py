"""Measure what kerasburst costs: each work in a process of its own, in blocks, after warm-up, by the median.

This package starts without TensorFlow: only the worker processes load it.
"""
