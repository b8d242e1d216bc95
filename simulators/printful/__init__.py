"""Printful as one store sees it: drafts, confirmation, parcels, webhooks, and a ledger of what truly left the house."""
