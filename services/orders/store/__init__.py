"""All SQL of orders, by noun.

Why: every statement works on a set of rows, so that one call is a batch of one (DESIGN 3).
"""
