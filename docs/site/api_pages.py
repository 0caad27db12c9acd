"""The reference of the Python API: a page for each module that other people's code imports."""

import ast

import griffe

MODULES = {
    "sslfast.kernels": ["sslfast.kernels.debug", "sslfast.kernels.available_impls", "sslfast.kernels.optimizers"],
    "sslfast.transforms": ["sslfast.transforms"],
    "sslfast.nn": ["sslfast.nn"],
    "sslfast.nn.compat": ["sslfast.nn.compat.lightly", "sslfast.nn.compat.pytorch_metric_learning"],
    "sslfast.methods": ["sslfast.methods.Method"],
}


def api_pages(package: griffe.Module) -> dict[str, str]:
    """Writes the text of the pages by their names on the site."""
    contents = {"sslfast": _names(package), **MODULES}
    return {
        f"api/{module}.md": "\n\n".join([f"# `{module}`", *(_directive(path, module) for path in paths)]) + "\n"
        for module, paths in contents.items()
    }


def _directive(path: str, title: str) -> str:
    """Writes what stands for the docstrings at a path, without its heading where that is the page's title."""
    return f"::: {path}\n    options:\n      show_root_heading: {str(path != title).lower()}"


def _names(package: griffe.Module) -> list[str]:
    """Lists the functions and classes of `import sslfast`: it loads them when they are first used, by a table."""
    _, table = package["__getattr__"].value.arguments
    places = (ast.literal_eval(str(place)).split(":") for place in table.values)
    return [f"{module}.{name}" for module, name in places if name]
