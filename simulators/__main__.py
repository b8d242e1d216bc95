"""`python -m simulators`: both vendors on one port; a taken port is a clear error, not a second server."""

import sys

import uvicorn
from pydantic import ValidationError

from .app import build_app
from .settings import SimulatorSettings


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = SimulatorSettings()
    except ValidationError as error:
        sys.stderr.write(f"simulators: bad settings\n{error}\n")
        return 2
    config = uvicorn.Config(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
