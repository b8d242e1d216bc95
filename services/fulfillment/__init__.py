"""Fulfillment: has the goods of a paid order made and sent, and says what became of every unit."""
