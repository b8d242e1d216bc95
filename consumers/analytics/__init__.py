"""Analytics: keeps every event for ever, and answers questions about them."""
