"""Use cases of payments: they take a transaction and a list of commands.

Why: one call is a batch of one; there is no other path (DESIGN 3).
"""
