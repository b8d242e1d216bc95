"""Orders: the hub of the house, it owns the sequence of every order and every compensation."""
