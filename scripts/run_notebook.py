"""Executes a notebook on its kernel and keeps the pages of its profiled cells. Started by `npm run demo`."""

import argparse
import re
import shutil
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

_MAGIC = re.compile(r"^%%filprofile\b", re.MULTILINE)


def main() -> None:
    """Read the notebook, execute it, write it with its outputs and each profiled cell's page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("notebook", type=Path)
    parser.add_argument("result", type=Path, help="the executed notebook")
    parser.add_argument("--pages", type=Path, help="directory of the reports: report-1.html, ...")
    arguments = parser.parse_args()

    notebook = nbformat.read(arguments.notebook, as_version=4)
    sources = [cell.source for cell in notebook.cells]
    profiled = [cell for cell in notebook.cells if cell.cell_type == "code" and _MAGIC.match(cell.source)]
    if arguments.pages is not None:
        for number, cell in enumerate(profiled, start=1):
            _ask_for_page(cell, _directory(arguments.pages, number))

    client = NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        resources={"metadata": {"path": str(arguments.notebook.resolve().parent)}},
    )
    client.execute()

    # The outputs belong to the notebook as its author wrote it.
    for cell, source in zip(notebook.cells, sources, strict=True):
        cell.source = source
    if arguments.pages is not None:
        for cell in profiled:
            # The page is moved below: where it was first is of no use to a reader.
            cell.outputs = [
                output for output in cell.outputs if str(arguments.pages.resolve()) not in output.get("text", "")
            ]
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, arguments.result)
    if arguments.pages is not None:
        for number, _ in enumerate(profiled, start=1):
            directory = _directory(arguments.pages, number)
            (directory / "index.html").replace(arguments.pages / f"report-{number}.html")
            # The pictures and data beside it.
            shutil.rmtree(directory)


def _directory(pages: Path, number: int) -> Path:
    return pages.resolve() / f"report-{number}"


def _ask_for_page(cell: NotebookNode, directory: Path) -> None:
    cell.source = _MAGIC.sub(f'%%filprofile --output "{directory}"', cell.source, count=1)


if __name__ == "__main__":
    main()
