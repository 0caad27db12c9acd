"""Launches of the kernels that sample random numbers, for compilation ahead of time."""

NUMBERS = {
    "B": "i32",
    "N": "i32",
    "count": "i32",
    "side_stride": "i32",
    "seed": "i64",
    "epoch": "i32",
    "stream": "i32",
}


def launch(module, kernel, arch, constants, **kinds):
    """Makes a case of tests/kernels/aot.py with its name: the kinds of `NUMBERS`, and given ones above them."""
    arguments = getattr(module, kernel).arg_names
    case = {
        "kernel": f"{module.__name__}:{kernel}",
        "arch": arch,
        "signature": {name: kind for name, kind in (NUMBERS | kinds).items() if name in arguments},
        "constants": constants,
        "multiples_of_16": [],
        "num_warps": 4,
        "num_stages": 3,
    }
    return kernel, case
