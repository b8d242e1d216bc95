"""Fulfilment providers, one file each behind the Protocol of `base`."""
