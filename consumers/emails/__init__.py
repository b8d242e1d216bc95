"""E-mails: one mail per event that a customer or the shop should hear of."""
