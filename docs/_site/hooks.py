"""What MkDocs does to pages: links out of `docs/`, and the index of the reference."""

import os
import re
from pathlib import Path

from mkdocs.exceptions import PluginError

_NAMES = "<!-- names -->"
_OUTWARD = re.compile(r"(\]\()((?:\.\./)+[^)#\s]*)")


def on_page_markdown(markdown, page, config, files):
    """Has links to files outside of `docs/` lead to the repository.

    They are relative in the pages, so that they work there, too.
    """
    docs = Path(config.docs_dir)

    def lead(match):
        target = (docs / page.file.src_uri).parent / match[2]
        path = Path(os.path.normpath(target))
        if path.is_relative_to(docs):
            return match[0]
        if not path.exists():
            raise PluginError(f"{page.file.src_uri}: there is no {match[2]}")
        kind = "tree" if path.is_dir() else "blob"
        inside = path.relative_to(docs.parent).as_posix()
        return f"{match[1]}{config.repo_url.rstrip('/')}/{kind}/main/{inside}"

    if _NAMES in markdown:
        markdown = markdown.replace(_NAMES, _index((docs / page.file.src_uri).parent))
    return _OUTWARD.sub(lead, markdown)


def _index(folder):
    """Returns a table of the pages in a folder, with the names that each describes."""
    rows = ["| page | names |", "| --- | --- |"]
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        names = re.findall(r"^::: tlkeras\.(\w+)$", text, re.M)
        links = [f"[`{name}`]({path.name}#tlkeras.{name})" for name in names]
        title = text.partition("\n")[0].removeprefix("# ")
        if names:
            rows.append(f"| [{title}]({path.name}) | {', '.join(links)} |")
    return "\n".join(rows)
