"""What a good engineer would write first: correct, durable, one transaction per step, statement by statement.

Why: a rival is improved until it is fair before a ratio counts: pools, prepared statements, short transactions and
sorted locks are all there; only batches are not.
"""
