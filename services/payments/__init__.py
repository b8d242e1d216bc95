"""The payments service: everything that touches a payment provider, so that no other service ever counts money."""
