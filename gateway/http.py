"""The HTTP protocol of the gateway: uvicorn's on the C parser, with a bound on what comes before a body.

Why: the C parser takes a tenth of the time of the Python one, but bounds no header, and a stranger may send a long one.
"""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES_MAX: Final = 16 * 1024


class HttpProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up when a request's line and headers are longer than HEADER_BYTES_MAX."""

    _is_in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count what belongs to no body."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > HEADER_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The header is too long.")

    def on_headers_complete(self) -> None:
        """A body follows."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next head begins."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_complete()
