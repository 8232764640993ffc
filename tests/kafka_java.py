"""Finds what a local Kafka broker needs: Java, the jars, an archive of classes.

Jars come from Maven Central once, by `mvn` and `tests/kafka_jars/pom.xml`, into the
user's cache folder, or into `SAYIIR_TEST_CACHE`. The class archive only halves the
time of a broker's start; everything works without it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

JARS = Path(__file__).parent / "kafka_jars"
# Small and quick to start rather than fast: a test broker runs for seconds.
_JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Xlog:disable",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={JARS / 'log4j2.xml'}",
)
_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_LIMIT_S = 300


class MissingToolError(RuntimeError):
    """What a local broker needs is missing; the message says how to get it."""


def java() -> str:
    """Return the Java to use.

    Raises:
        MissingToolError: neither `JAVA_HOME` nor the path has one.
    """
    home = os.environ.get("JAVA_HOME")
    path = shutil.which(str(Path(home) / "bin" / "java") if home else "java")
    if path is None:
        raise MissingToolError("install Java 17 or newer (and Maven, once)")
    return path


def cache() -> Path:
    """Return the folder that keeps jars between runs."""
    folder = os.environ.get("SAYIIR_TEST_CACHE")
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) if folder else Path(root) / "sayiir-es-tests"


def jars() -> Path:
    """Return the folder with the broker's jars, fetching them when it is not there.

    Raises:
        MissingToolError: they have to be fetched, and `mvn` is missing or was refused.
    """
    version = ET.parse(JARS / "pom.xml").findtext(".//{*}kafka.version")  # noqa: S314 - our own file
    folder = cache() / f"kafka-{version}"
    if folder.is_dir():
        return folder
    java()
    mvn = shutil.which("mvn")
    if mvn is None:
        raise MissingToolError("Java is here, but mvn is not: install Maven, once")
    cache().mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=cache(), prefix="part-"))
    command = [mvn, "-q", "-B", "-f", str(JARS / "pom.xml"), _COPY_GOAL]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    try:
        subprocess.run(  # noqa: S603 - our own command
            command, check=True, capture_output=True, timeout=FETCH_LIMIT_S
        )
        part.chmod(0o755)
        part.rename(folder)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        if not folder.is_dir():  # else another process was quicker
            raise MissingToolError(f"mvn could not fetch the jars: {error}") from error
    return folder


def archive() -> Path:
    """Return where the class archive for this Java and these jars belongs."""
    version = subprocess.run(  # noqa: S603 - our own command
        [java(), "-version"], capture_output=True, check=True
    )
    digest = hashlib.sha256(version.stderr).hexdigest()[:8]
    return cache() / f"{jars().name}-{digest}.jsa"


def command(
    main_class: str, *arguments: str, options: tuple[str, ...] = ()
) -> list[str]:
    """Return the command line that runs one of Kafka's main classes."""
    line = [java(), *_JVM_OPTIONS, *options, "-cp", f"{jars()}/*"]
    return [*line, main_class, *arguments]
