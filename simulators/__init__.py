"""Stripe and Printful in one process with ledgers of their own: no public fake keeps keys or Checkout (F-51)."""
