"""Calls of the control API and their errors, shared by all parts so that a refusal reads alike."""

from typing import Any, TypeVar

from pydantic import BaseModel

from ..shared.http import Answer, Client

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
        self._http = Client(timeout_seconds, base_url.rstrip("/") + "/_control")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def get(self, path: str, **query: str | None) -> Any:
        params = {key: value for key, value in query.items() if value is not None}
        return self._read(await self._http.request("GET", path, params=params))

    async def post(self, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        return self._read(await self._http.request("POST", path, json=body or {}, params=query))

    async def delete(self, path: str) -> Any:
        return self._read(await self._http.request("DELETE", path))

    async def act(self, model: type[Model], path: str, **body: Any) -> Model:
        sent = {key: value for key, value in body.items() if value is not None}
        return model.model_validate(await self.post(path, sent))

    @staticmethod
    def _read(answer: Answer) -> Any:
        if answer.status < 300:
            return answer.json()
        try:
            message = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            message = answer.body.decode(errors="replace")
        raise SimulatorError(answer.status, message)
