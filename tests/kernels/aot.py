"""Compiles Triton kernels for GPUs that need not be there, and reports what the compiler says of them.

A program: reads a JSON list of cases on stdin, writes a JSON list of their resources on stdout. A case:

    kernel: "module:name"
    arch: 80, 90, 100 or 120
    signature: argument -> "*bf16", "i32", "fp32", of a tuple a list; arguments that are left out are constants
    constants: argument -> value
    multiples_of_16: arguments that are, at a usual launch; they decide how wide the loads are
    num_warps, num_stages, and maxnreg where the launch has it
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

SHARED_MEMORY = {80: 166912, 90: 232448, 100: 232448, 120: 101376}  # bytes that a block may use, by architecture


def compile_case(case):
    module, name = case["kernel"].split(":")
    kernel = getattr(importlib.import_module(module), name)
    kinds = {arg: case["signature"].get(arg, "constexpr") for arg in kernel.arg_names}
    signature = {arg: tuple(kind) if isinstance(kind, list) else kind for arg, kind in kinds.items()}
    divisible = [
        i
        for i, (arg, kind) in enumerate(signature.items())
        if str(kind).startswith("*") or arg in case["multiples_of_16"]
    ]
    source = ASTSource(
        kernel,
        signature,
        constexprs=case["constants"],
        attrs={(i,): [["tt.divisibility", 16]] for i in divisible},
    )
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", case["arch"], 32),
        options={name: case.get(name) for name in ("num_warps", "num_stages", "maxnreg")},
    )
    used = usage(compiled.asm["cubin"])
    return {
        "shared": compiled.metadata.shared,
        "fits": compiled.metadata.shared <= SHARED_MEMORY[case["arch"]],
        "registers": used["REG"],
        "spilled": used["STACK"] + used["LOCAL"],
        "wgmma": "wgmma" in compiled.asm["ptx"],
        # Offsets of rows, which are scalars or matrices, in 32 bits; those within a row are vectors.
        "narrow_offsets": re.findall(r"tt\.addptr .*, (?:i32|tensor<\d+x\d+xi32>) loc", compiled.asm["ttir"]),
    }


def usage(cubin):
    """Registers and bytes of stack and local memory a thread, from the cuobjdump that Triton brings along."""
    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [cuobjdump, "-res-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", text)}


if __name__ == "__main__":
    json.dump([compile_case(case) for case in json.load(sys.stdin)], sys.stdout)
