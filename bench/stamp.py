"""Moments as protobuf has them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def stamp(moment: datetime) -> Timestamp:
    """The same moment."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
