"""Stripe as one merchant sees it: intents, checkout, refunds, disputes, events, and a ledger of what truly moved."""
