"""A hook of mkdocs: the pages of docs/, with links that lead to the site's, and those that are made of the code.

The code is read, not imported: neither torch nor sslfast has to be installed.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import griffe
from api_pages import api_pages
from method_pages import method_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from op_pages import op_pages
from repository_pages import ROOT, repository_pages
from setting_pages import setting_pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts all pages, text by name, among the files that mkdocs found, and into the navigation."""
    package = griffe.load("sslfast", search_paths=[ROOT])
    pages = {**repository_pages(), "site.css": Path(__file__).with_name("site.css")}
    for make in (op_pages, method_pages, setting_pages, api_pages):
        pages |= make(package)
    for uri, content in pages.items():
        if found := files.get_file_from_path(uri):
            files.remove(found)
        source = {"abs_src_path": str(content)} if isinstance(content, Path) else {"content": content}
        files.append(File.generated(config, uri, **source))
    config.nav = list(_expanded(config.nav, pages))
    return files


def _expanded(nav: list[Any], uris: Iterable[str]) -> Iterator[Any]:
    """Yields the navigation with the pages of a folder in place of `folder/*`."""
    for item in nav:
        if isinstance(item, dict):
            yield {
                title: list(_expanded(inner, uris)) if isinstance(inner, list) else inner
                for title, inner in item.items()
            }
        elif "*" in item:
            yield from (uri for uri in uris if fnmatch(uri, item))
        else:
            yield item
