"""`sslfast compare`: from the directories of runs to a page, a Markdown file and a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslfast.config.paths import user_path
from sslfast.errors import UsageError
from sslfast.report.comparison.files import to_csv, to_html, to_markdown
from sslfast.report.comparison.run import read_runs
from sslfast.run.atomic import atomic_write
from sslfast.run.directory import RunDirectory


def compare(runs: Sequence[str | Path], out: str | Path = "compare") -> Path:
    """Sets runs side by side, finished or not, in compare.html, compare.md and compare.csv; returns the page.

    Args:
        runs: the directories of two runs or more.
        out: the folder for the files, which are replaced where they exist.

    Raises:
        UsageError: there is no run where one should be, one is given twice, a file of one is damaged, or the files
            cannot be written, or would be in a run.
    """
    compared = read_runs([Path(run) for run in runs])
    folder = user_path(out)
    if RunDirectory(folder).config.exists():  # which would be taken for no run's then
        raise UsageError(f"--out {folder}: is a run's directory; choose another folder")
    texts = {"html": to_html(compared), "md": to_markdown(compared), "csv": to_csv(compared)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            with atomic_write(folder / f"compare.{suffix}") as file:
                file.write(text.encode())
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot write the comparison: {error.strerror or error}") from error
    return folder / "compare.html"
