"""Calls of the control API and their errors, shared by all parts so that a refusal reads alike."""

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from ..shared.http import Clients

Model = TypeVar("Model", bound=BaseModel)
TIMEOUT_SECONDS = 30.0


class SimulatorError(Exception):
    """The control API refused: `status` and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ControlHttp:
    """Calls to the control API."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._clients = Clients(timeout_seconds, base_url.rstrip("/") + "/_control")

    async def close(self) -> None:
        """Close the connections."""
        await self._clients.close()

    async def get(self, path: str, **query: str | None) -> Any:
        params = {key: value for key, value in query.items() if value is not None}
        return self._read(await self._clients.request("GET", path, params=params))

    async def post(self, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        return self._read(await self._clients.request("POST", path, json=body or {}, params=query))

    async def delete(self, path: str) -> Any:
        return self._read(await self._clients.request("DELETE", path))

    async def act(self, model: type[Model], path: str, **body: Any) -> Model:
        sent = {key: value for key, value in body.items() if value is not None}
        return model.model_validate(await self.post(path, sent))

    @staticmethod
    def _read(answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        try:
            message = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            message = answer.text
        raise SimulatorError(answer.status_code, message)
