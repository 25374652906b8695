"""Commands of the pages in `docs/kubernetes`."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.infra.rendering import ROOT

GUIDE = ROOT / "docs" / "kubernetes" / "README.md"


def marked(name: str) -> list[str]:
    """Return the lines of the guide's block after a mark such as `<!-- first-mosaic -->`."""
    text = GUIDE.read_text(encoding="utf-8")
    (block,) = re.findall(rf"^<!-- {name} -->\n```bash\n(.*?)^```", text, re.M | re.S)
    return str(block).splitlines()


def written(page: Path) -> Iterator[str]:
    """Yield the commands of a page: lines of its blocks, and what it quotes in a line of text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.M | re.S)
    yield from (line.strip() for block in blocks for line in block.splitlines())
    yield from re.findall(
        r"`(deepsalt [^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    )


def words(command: str) -> list[str]:
    """Return a command's words, up to a pipe or a redirection."""
    found = shlex.split(command, comments=True)
    ends = [n for n, word in enumerate(found) if word in ("|", ">", "<", "&&")]
    return found[: min(ends, default=len(found))]
