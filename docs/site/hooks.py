"""Hooks of the documentation site.

Links that leave docs/ become links to the repository, if their file is there. Pages
about the project itself come last in the search. The pages of the API are made of the
comments in the code.
"""
import logging
import posixpath
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mkdocs.structure.files import File

DOCS = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/sluice-go/sluice/blob/main/"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
API = "reference/api/"
BOOST = {API: 0.05, "adr/": 0.5, "benchmarks.md": 0.5, "seams.md": 0.5, "conformance.md": 0.5}
log = logging.getLogger("mkdocs.hooks")
made = {}  # the pages of the API by their names, the list first


def on_config(config, **_):
    """Adds the commands, the API and the decisions to the navigation, which lists their first."""
    folder = tempfile.mkdtemp()
    try:
        command = ["go", "run", "./internal/test/pages/apipages", folder]
        names = subprocess.run(command, cwd=DOCS.parent, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        made.update({name: (Path(folder) / name).read_text() for name in names})
    finally:
        shutil.rmtree(folder)
    for section in config.nav:
        for entry in next(iter(section.values())):
            if isinstance(entry, dict) and "Commands" in entry:
                for page in sorted((DOCS / "cli").glob("sluice_*.md")):
                    entry["Commands"].append({page.stem.replace("_", " "): f"cli/{page.name}"})
            if isinstance(entry, dict) and "API" in entry:
                entry["API"] += [API + name for name in made if name != "index.md"]
            if isinstance(entry, dict) and "Decisions" in entry:
                entry["Decisions"] += [f"adr/{page.name}" for page in sorted((DOCS / "adr").glob("0*.md"))]
    return config


def on_files(files, config, **_):
    for name, text in made.items():
        files.append(File.generated(config, API + name, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    folder = posixpath.dirname(page.file.src_uri)
    for start, boost in BOOST.items():
        if page.file.src_uri.startswith(start):
            page.meta.setdefault("search", {})["boost"] = boost

    def outside(match):
        before, target, anchor, after = match.groups()
        if "://" in target or target.startswith(("/", "mailto:")):
            return match.group(0)
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        if path.startswith("docs/") and not path.startswith("docs/site/"):
            if not (DOCS.parent / path).is_dir() or (DOCS.parent / path / "index.md").exists():
                return match.group(0)
        if not (DOCS.parent / path).exists():
            log.warning("%s links to %s, which is not in the repository", page.file.src_uri, target)
        return f"{before}{REPOSITORY}{path}{anchor or ''}{after}"

    return LINK.sub(outside, markdown)



def on_post_build(config, **_):
    """Puts search.js before the theme's search worker."""
    before = (DOCS / "site" / "search.js").read_text()
    workers = list(Path(config.site_dir).glob("assets/javascripts/workers/search.*.js"))
    if len(workers) != 1:
        log.warning("the theme has not one search worker, but %s", workers)
    for worker in workers:
        worker.write_text(before + worker.read_text())
