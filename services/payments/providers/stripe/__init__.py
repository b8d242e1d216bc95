"""Stripe: PaymentIntents and Checkout Sessions by the official SDK."""

from services.payments.providers.stripe.adapter import StripeProvider

__all__ = ["StripeProvider"]
