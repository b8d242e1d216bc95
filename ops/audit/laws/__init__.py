"""All laws, in the order in which they are told: money first."""

from ops.audit.laws import events, goods, mails, money, orders, stock, stuck

__all__ = ["events", "goods", "mails", "money", "orders", "stock", "stuck"]
