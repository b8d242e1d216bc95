"""`python -m consumers.analytics`: wiring only."""

import sys

import uvloop

from consumers.analytics.config import AnalyticsSettings
from services.chassis import process
from services.chassis.clock import SystemClock
from services.chassis.config import ConfigurationError, load
from services.chassis.telemetry import configure_logging


def main() -> None:
    """Archive events until SIGTERM."""
    process.collect_rarely()
    try:
        settings = load(AnalyticsSettings)
    except ConfigurationError as error:
        sys.exit(str(error))
    configure_logging("analytics", settings.log_level)
    from consumers.analytics.archiver import Archiver

    uvloop.run(process.run([Archiver(settings, SystemClock())], settings))


if __name__ == "__main__":
    main()
