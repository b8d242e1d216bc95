"""Readers of the services' events: what they do is never needed for an order to go on."""
