"""The inventory service: catalogue, stock levels, and the stock of each order."""
