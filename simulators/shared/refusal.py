"""The base of both vendors' refusals, so that shared code can tell a refusal from a fault of its own."""


class Refusal(Exception):
    """A vendor says no: an answer other than 200, with its `status`."""

    status: int
