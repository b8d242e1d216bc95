"""Settings of the analytics consumer.

Why: how much may wait in memory decides how small the files are and how late a question sees an event.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ProcessSettings, by_profile, optional_secret


class AnalyticsSettings(ProcessSettings):
    """`ONEFOLD_ANALYTICS_...`: where events come from, where they are kept, and when they are written."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_ANALYTICS_")

    token: SecretStr = optional_secret(description="not used: analytics calls nobody")
    kafka_bootstrap: str = Field(default="127.0.0.1:19092", description="Kafka brokers, host:port, by commas")
    topic_prefix: str = Field(default="", description="put before topics and the group; for tests")
    folder: Path = Field(
        default=Path(".onefold/analytics"),
        description="the archive: Parquet files, kept for ever; production needs an absolute path",
    )
    flush_events: int = Field(default=20_000, ge=1, description="most events in memory before they are written")
    flush_bytes: int = Field(default=16 * 1024 * 1024, ge=1, description="most bytes in memory before they are written")
    flush_ms: int = by_profile(60_000, demo=5_000, test=100, description="longest time an event waits in memory", ge=1)
    quiet_ms: int = by_profile(
        60_000, demo=300, description="what waits in memory is written once nothing came for so long", ge=1
    )
    compact_ms: int = by_profile(
        600_000, demo=10_000, test=1_000, description="pause between looks for small files to join", ge=1
    )
    compact_files: int = Field(default=16, ge=2, description="so many small files of one partition and day are joined")
    compact_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="files of this size are left as they are")
    keep_joined_ms: int = by_profile(
        3_600_000, demo=60_000, description="how long small files stay after they were joined, for queries under way"
    )

    @model_validator(mode="after")
    def _refuse_to_depend_on_a_place(self) -> Self:
        if self.profile == "production" and not self.folder.is_absolute():
            raise ValueError(
                "ONEFOLD_ANALYTICS_FOLDER: production needs an absolute path, whoever starts it from where"
            )
        return self
