"""Writes the pages anew, each with its tables: `make results`."""

from sslfast.benchmarks.tables.pages import PAGES, generate

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(generate(page.read_text()))
