"""Runs what the README and `docs/` show, and compares the output they show. The rules: docs/how-to/develop.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if (ROOT / "pyproject.toml").is_file()
)
COMMAND_SECONDS_MAX = 120
DIRECTIVE = re.compile(r"^<!-- (file|exit|output|not run)(?:: *(.*\S))? *-->$")
RUN_AS_COMMAND = "import sys; sys.argv[0] = 'stormproof'; from stormproof.cli import main; sys.exit(main())"


@dataclass
class Block:
    """A fenced block: its language, text and first line, with the comments right before it."""

    language: str
    line: int
    text: str = ""
    directives: dict[str, str] = field(default_factory=dict)


def blocks_of(page: str) -> Iterator[Block]:
    directives: dict[str, str] = {}
    block: Block | None = None
    for number, line in enumerate(page.splitlines(), start=1):
        if block is not None:
            if line == "```":
                yield block
                block, directives = None, {}
            else:
                block.text += line + "\n"
        elif line.startswith("```"):
            block = Block(line.removeprefix("```"), number, directives=directives)
        elif match := DIRECTIVE.match(line):
            directives[match[1]] = match[2] or ""
        elif line.startswith("<!--"):
            raise AssertionError(f"line {number}: no such comment: {line}")
        elif line:
            assert not directives, f"line {number}: a comment for a block must stand right before it"
    assert block is None, "a block is not closed"


def commands_of(block: Block) -> Iterator[tuple[str, str | None]]:
    """Each command of a console block, with the output shown for it, or None."""
    command, shown = "", ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown or None
            command, shown = line.removeprefix("$ ").partition("  #")[0].rstrip(), ""
        else:
            assert command, f"line {block.line}: output before a command"
            shown += line + "\n"
    if command:
        yield command, shown or None


def matches(shown: str, printed: str) -> bool:
    """Equal, where a line `...` stands for any number of lines, and space at the end of lines does not count."""
    parts = [re.escape(line.rstrip()) + r"\n" for line in shown.strip("\n").splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if part == r"\.\.\.\n" else part for part in parts)
    text = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None


def argv_of(command: str) -> list[str]:
    words = shlex.split(command)
    assert words, "an empty command"
    if words[0] == "stormproof":
        return [sys.executable, "-c", RUN_AS_COMMAND, *words[1:]]
    assert words[0] == "python", f"`{command}`: only stormproof and python are run; say `not run` and why"
    return [sys.executable, *words[1:]]


def run(argv: list[str], folder: Path, exit_code: int, what: str) -> str:
    """Run it in `folder`; returns what it printed."""
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": ""}
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == exit_code, f"{what}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_page(page: str, folder: Path) -> int:
    """Run all blocks of a page in order; returns how many."""
    ran, printed = 0, ""
    for block in blocks_of(page):
        where = f"line {block.line}"
        exit_code = int(block.directives.get("exit", "0"))
        if "not run" in block.directives:
            assert block.directives["not run"], f"{where}: why not?"
        elif "output" in block.directives:
            assert matches(block.text, printed), (
                f"{where}: the page shows\n{block.text}\nbut this is printed:\n{printed}"
            )
        elif block.language == "python":
            name = block.directives.get("file", f"block_{block.line}.py")
            (folder / name).write_text(block.text, encoding="utf-8")
            printed = run([sys.executable, name], folder, exit_code, where)
            ran += 1
        elif block.language in {"console", "bash", "sh"}:
            for command, shown in commands_of(block):
                printed = run(argv_of(command), folder, exit_code, f"{where}: {command}")
                assert shown is None or matches(shown, printed), f"{where}: {command} prints\n{printed}"
                ran += 1
    return ran


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    run_page((ROOT / page).read_text(encoding="utf-8"), tmp_path)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:", target):
            path = (ROOT / page).parent / target.partition("#")[0]
            assert path.exists(), f"{page} links to {target}"


def test_each_page_can_be_reached_from_the_index(repository: Path) -> None:
    index = (repository / "docs/index.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/index.md":
            assert f"({page.removeprefix('docs/')})" in index, f"docs/index.md does not link to {page}"


def test_a_page_is_run_from_top_to_bottom(tmp_path: Path) -> None:
    page = """
<!-- file: told.py -->
```python
print("one")
print("two")
```

<!-- output -->
```text
one
...
```

```console
$ python told.py  # again
one
two
$ python -c "print('anything')"
```

<!-- exit: 3 -->
```console
$ python -c "raise SystemExit(3)"
```

<!-- not run: it would wait for ever -->
```console
$ sleep infinity
```
"""
    assert run_page(page, tmp_path) == 4


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n", "the page shows"),
        ("```console\n$ python -c 'print(1)'\n2\n```\n", "prints"),
        ("```console\n$ rm -rf x\n```\n", "only stormproof and python"),
        ("<!-- exit: 1 -->\n```console\n$ python -c 0\n```\n", "exit code 0"),
        ("<!-- not run -->\n```python\n```\n", "why not"),
        ("<!-- skip -->\n```python\n```\n", "no such comment"),
        ("<!-- exit: 1 -->\ntext\n```python\n```\n", "right before"),
        ("```python\n", "not closed"),
    ],
)
def test_a_page_that_is_wrong_is_seen(page: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=why):
        run_page(page, tmp_path)
