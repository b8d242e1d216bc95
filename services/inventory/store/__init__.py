"""All SQL of inventory.

Why: a batch of any size costs a fixed number of statements (DESIGN 3), and the order in which rows are locked (S-4) can
be read in one place: roots, then stock rows by SKU and location. Holds have no locks of their own: their root has.
"""
