"""The local stack: real PostgreSQL, real Kafka, an SMTP sink and our processes, from the package registries alone.

Why: no Docker, no administrator and no hand is needed between a clone and a running Onefold.
"""
