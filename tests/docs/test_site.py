"""Builds the documentation as a site, strictly, and looks at what came out."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sayiir_es
import sayiir_es.aio
import sayiir_es.audit
import sayiir_es.projection
import sayiir_es.testing
from sayiir_es.cli.verb_table import VERBS, VerbGroup
from sayiir_es.operations.metrics.catalogue import METRICS
from sayiir_es.settings import Settings
from tests.tree import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from sayiir_es.cli.verb_table import Entry

LIMIT_S = 100

LOADED_BY = {"script": "src", "link": "href", "img": "src", "iframe": "src"}


class _Page(HTMLParser):
    """The ids of a page, its links, what it loads, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(values["id"] or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        address = values.get(LOADED_BY.get(tag, ""))
        if address:
            self.loaded.append(address)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; any warning of the build is an error."""
    folder = tmp_path_factory.mktemp("site")
    process = subprocess.run(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict"),
            *("--site-dir", str(folder)),
        ],
        cwd=ROOT,
        env={"PATH": "/nothing", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


@cache
def _page(path: Path) -> _Page:
    return _Page(path)


def _verbs(entries: Mapping[str, Entry], prefix: str = "") -> Iterator[str]:
    for name, entry in entries.items():
        if isinstance(entry, VerbGroup):
            yield from _verbs(entry.entries, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


@pytest.mark.timeout(LIMIT_S * 2)
def test_every_page_becomes_one_of_the_site(site: Path) -> None:
    pages = [
        Path(name).relative_to("docs").with_suffix(".html")
        for name in files()
        if name.startswith("docs/") and name.endswith(".md")
        if not name.endswith("000-template.md")
    ]
    assert len(pages) > 80
    assert not [page for page in pages if not (site / page).exists()]


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_site_loads_nothing_from_the_net(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    loaded = {address for page in pages for address in _page(page).loaded}
    assert any(address.endswith(".css") for address in loaded)
    assert not [address for address in loaded if "//" in address]
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)


@pytest.mark.timeout(LIMIT_S * 2)
def test_links_that_leave_the_manual_lead_to_files_of_the_repository(
    site: Path,
) -> None:
    start = "https://github.com/sayiir/sayiir-es/"
    found = {
        link.partition("/main/")[2].partition("#")[0]
        for page in site.rglob("*.html")
        for link in _page(page).links
        if link.startswith((f"{start}blob/", f"{start}tree/"))
    }
    assert "examples/produce_json.py" in found
    assert not [path for path in found if not (ROOT / path).exists()]


@pytest.mark.timeout(LIMIT_S * 2)
@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("sayiir_es", sayiir_es),
        ("aio", sayiir_es.aio),
        ("testing", sayiir_es.testing),
        ("audit", sayiir_es.audit),
        ("projection", sayiir_es.projection),
    ],
)
def test_the_reference_of_python_has_every_exported_name(
    site: Path, page: str, module: ModuleType
) -> None:
    ids = _page(site / "reference" / "python" / f"{page}.html").ids
    missing = [n for n in module.__all__ if f"{module.__name__}.{n}" not in ids]
    assert not missing


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_reference_of_python_shows_the_methods_of_the_client(site: Path) -> None:
    page = _page(site / "reference" / "python" / "sayiir_es.html")
    assert "conflict_policy" in page.text
    client = "sayiir_es.WorkflowClient"
    methods = [n for n in vars(sayiir_es.WorkflowClient) if not n.startswith("_")]
    assert "submit" in methods
    assert not [name for name in methods if f"{client}.{name}" not in page.ids]


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_reference_of_the_command_line_has_every_verb(site: Path) -> None:
    page = _page(site / "reference" / "command-line.html")
    verbs = list(_verbs(VERBS.entries))
    assert "instance start" in verbs
    assert not [verb for verb in verbs if verb.replace(" ", "-") not in page.ids]
    assert "table|json|jsonl" in page.text


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_references_have_every_setting_metric_record_and_route(site: Path) -> None:
    settings = _page(site / "reference" / "settings.html").text
    names = [f"SAYIIR_{name.upper()}" for name in Settings.model_fields]
    assert not [name for name in names if name not in settings]
    metrics = _page(site / "reference" / "metrics.html").text
    assert not [one.name for one in METRICS if one.name not in metrics]
    for kind in ("event", "command"):
        ids = _page(site / "reference" / f"{kind}s.html").ids
        start = f"schemas/io.sayiir.{kind}.v1."
        records = [n.removeprefix(start) for n in files() if n.startswith(start)]
        assert records
        assert not [n for n in records if n.removesuffix(".avsc").lower() not in ids]
    app = import_module("sayiir_es.web.app")
    with sayiir_es.InMemoryBackend() as backend:
        routes = app.create_app(backend).openapi()["paths"]
    rest = _page(site / "reference" / "rest.html").text
    assert not [path for path in routes if path not in rest]


def test_what_code_hosts_read_differently_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list without a line before it, a bar in code, a link that leaves docs/."""
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "mkdocs.yml").write_text(
        f"site_name: s\nhooks: [{ROOT}/docs/hooks/code_host.py]\n"
        "markdown_extensions: [tables]\n"
    )
    (docs / "index.md").write_text(
        "# A\n\nMany:\n* one\n* two\n\n| a | b |\n|---|---|\n| `x\\|y<z` | 1 |\n"
    )
    command = [sys.executable, "-m", "mkdocs", "--quiet", "build"]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)  # noqa: S603
    built = (tmp_path / "site" / "index.html").read_text()
    assert "<li>one</li>" in built
    assert "<code>x&#124;y&lt;z</code>" in built
