"""`import sslfast`: what it offers, and what it does not load before it is used."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sslfast
import sslfast.config
import sslfast.train
from sslfast.config import Recipe
from sslfast.recipes.load import load_recipe


def run(program):
    """Returns the standard output of a Python program of its own."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_importing_loads_neither_torch_nor_numpy():
    program = (
        "import sys, sslfast; dir(sslfast), sslfast.__version__; print({'torch', 'numpy'} & set(sys.modules))"
    )
    assert run(program) == "set()\n"


def test_a_name_is_loaded_when_it_is_first_used():
    program = "import sslfast; print(*(getattr(sslfast, n).__name__.rpartition('.')[2] for n in sslfast.__all__))"
    assert run(program).split() == sslfast.__all__
    assert set(sslfast.__all__) <= set(dir(sslfast))


def test_functions_and_modules():
    from sslfast import kernels, nn
    from sslfast.api.encoder import load_encoder
    from sslfast.api.evaluate import evaluate
    from sslfast.api.pretrain import pretrain

    assert (sslfast.pretrain, sslfast.evaluate, sslfast.load_encoder) == (pretrain, evaluate, load_encoder)
    assert (sslfast.kernels, sslfast.nn) == (kernels, nn)
    assert kernels.info_nce
    for function in (pretrain, evaluate, load_encoder):
        for name in ("recipe", "out", "encoder", "name", "data", "val"):
            parameter = inspect.signature(function).parameters.get(name)
            # `Data` is one of these, or several, or images; the network to train is named or a module.
            expected = r"str \| (Path|nn\.Module)|Data"
            assert parameter is None or re.search(expected, parameter.annotation), (function, name)


def test_a_function_stays_one_when_modules_of_like_names_are_loaded():
    """An attribute of the package that is loaded lazily must not be one of its folders too."""
    program = "import sslfast; sslfast.evaluate; sslfast.pretrain; print(callable(sslfast.evaluate))"
    assert run(program) == "True\n"
    folders = {path.name for path in Path(sslfast.__file__).parent.iterdir() if path.is_dir()}
    assert folders & set(sslfast.__all__) == {"kernels", "nn"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sslfast' has no attribute 'pretrian'"):
        sslfast.pretrian  # noqa: B018
    with pytest.raises(ImportError, match="nothing"):
        from sslfast.train import nothing  # noqa: F401


@pytest.mark.parametrize(
    ("module", "name", "now", "value"),
    [
        (sslfast.config, "Config", "sslfast.config.Recipe", Recipe),
        (sslfast.config, "load_config", "sslfast.recipes.load.load_recipe", load_recipe),
        (sslfast.train, "pretrain", "sslfast.pretrain", sslfast.pretrain),
    ],
)
def test_a_name_that_has_moved_is_found_with_a_warning_of_where(module, name, now, value):
    with pytest.warns(DeprecationWarning, match=f"{module.__name__}.{name} is now {now}") as warnings:
        assert getattr(module, name) is value
    assert warnings[0].filename == __file__


def test_importing_a_name_that_has_moved_warns_where_it_is_imported():
    with pytest.warns(DeprecationWarning, match="is now") as warnings:
        from sslfast.config import load_config  # noqa: F401
    assert {warning.filename for warning in warnings} == {__file__}
