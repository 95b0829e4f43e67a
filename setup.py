"""The README for package indexes, whose readers have no folder to follow links in."""

import re
from pathlib import Path

from setuptools import setup

PAGES = "https://github.com/tlkeras/tlkeras/blob/main/"
PICTURES = "https://raw.githubusercontent.com/tlkeras/tlkeras/main/"


def with_whole_links(text: str) -> str:
    """Returns Markdown whose links to files of the repository are whole addresses."""
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:|#)", rf"\1{PICTURES}", text)
    return re.sub(r"((?<!!)\[[^]!]*\]\()(?!https?:|#)", rf"\1{PAGES}", text)


readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
setup(
    long_description=with_whole_links(readme),
    long_description_content_type="text/markdown",
)
