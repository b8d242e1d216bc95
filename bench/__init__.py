"""Benchmarks: our way of doing a thing, beside what others would write first and what the machine can do at best.

Why: a claim about speed is worth what was measured beside it, in the same session and under the same rules.
"""
