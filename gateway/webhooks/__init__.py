"""Authenticity of webhooks, one provider a file; what a webhook means is decided by the services alone."""
