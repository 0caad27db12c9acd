"""That the code has the shape that CONTRIBUTING.md draws: no circle of imports, and none that runs back up."""

from graphlib import CycleError, TopologicalSorter

from tests.layers import imports, layer, layers, modules


def test_every_module_belongs_to_a_layer():
    assert {layer(module) for module in modules()} == set(layers())


def test_a_layer_imports_only_those_below_it():
    height = {name: -place for place, name in enumerate(layers())}
    upward = [
        f"{source} imports {target}"
        for source, targets in imports().items()
        for target in sorted(targets)
        if layer(source) != layer(target) and height[layer(source)] < height[layer(target)]
    ]
    assert not upward


def test_no_circle_of_files():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_the_kernels_import_nothing_of_the_trainer():
    outside = {
        target
        for source, targets in imports().items()
        for target in targets
        if layer(source) == "kernels" and layer(target) != "kernels"
    }
    assert not outside
