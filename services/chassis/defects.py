"""What a caller hears of an error: refusals as they are, anything else without its text.

Why: one call and one item of a batch say the same, and the text of an unexpected error never reaches a caller (F-43).
"""

from services.chassis.db import is_broken_plumbing
from services.chassis.errors import DependencyUnavailable, DomainError, Internal
from services.chassis.ids import new_id
from services.chassis.telemetry import get_logger

log = get_logger(__name__)


def shown(error: BaseException, what: str, **where: str) -> DomainError:
    """The error as a caller may see it; a defect is logged as `{what}_failed` under the id that the caller gets."""
    if isinstance(error, DomainError):
        return error
    if is_broken_plumbing(error):
        log.warning(f"{what}_lost_plumbing", error=type(error).__name__, **where)
        return DependencyUnavailable()
    error_id = new_id()
    log.error(f"{what}_failed", error_id=error_id, exc_info=error, **where)
    return Internal(error_id)
