"""Databases for the tests of the audit."""

from collections.abc import Iterator

import pytest

from ops.local import templates
from tests.component.ops.books import Audited, opened


@pytest.fixture(scope="session")
def cloned(postgres_dsn: str) -> Iterator[dict[str, str]]:
    """Service to the superuser's address of a database that no test changes for good."""
    names: dict[str, str] = {}

    class Clones(dict[str, str]):
        def __missing__(self, service: str) -> str:
            names[service] = templates.clone(postgres_dsn, service).name
            self[service] = f"{postgres_dsn.rpartition('/')[0]}/{names[service]}"
            return self[service]

    yield Clones()
    templates.drop(postgres_dsn, names.values())


@pytest.fixture
def audited(cloned: dict[str, str]) -> Audited:
    """Books of some services, in which a test plants a breach."""
    return lambda *services: opened({service: cloned[service] for service in services})
