"""What can be done with orders, by noun: each takes a transaction and a list of commands.

Why: a call, an event and a deadline lead to the same code, whichever door they came through.
"""
