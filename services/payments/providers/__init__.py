"""Payment providers, each behind the one Protocol of `base`."""
