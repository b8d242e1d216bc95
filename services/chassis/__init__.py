"""What every service stands on; it knows no service.

Why: each guarantee (a request counts once, an event counts once, nothing half-done) is built and tested in one place.
"""
