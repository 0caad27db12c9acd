"""Makes plain C++ of CUDA C++: of what no header can stand in for, each on the line where it was.

- `kernel<T><<<grid, block, ...>>>(...)` calls what `emulator::configure` returns.
- `__shared__ T name[N];` refers to memory of the block, as does `extern __shared__ T name[];`.
- A `const __grid_constant__` parameter is a reference: no thread gets a copy of it.
- `reinterpret_cast<const void*>(kernel)` makes the kernel known to cudaLaunchCooperativeKernel.
- Operators are registered for tensors on the CPU.
"""

import re

KERNEL = r"([A-Za-z_][\w:]*(?:<[^<>;(){}]*>)?)"
TYPE = r"((?:unsigned )?[A-Za-z_][\w:]*(?:<[^<>;]*>)?)"
ALIGNMENT = r"(?:(?:__align__|alignas)\(\w+\)\s*)?"
REPLACEMENTS = (
    (rf"{KERNEL}<<<(.*?)>>>", r'emulator::configure("\1", \1, \2)'),
    (
        rf"extern\s+__shared__\s+{ALIGNMENT}{TYPE}\s+(\w+)\[\];",
        r"\1* const \2 = static_cast<\1*>(emulator::dynamic_shared());",
    ),
    (
        rf"__shared__\s+{ALIGNMENT}{TYPE}\s+(\w+)((?:\[[^;,]*\])?);",
        r"auto& \2 = emulator::shared<\1\3>([] {});",
    ),
    (rf"const\s+__grid_constant__\s+{TYPE}\s+(\w+)", r"const \1& \2"),
    (rf"reinterpret_cast<const void\*>\({KERNEL}\)", r'emulator::address_of("\1", \1)'),
    (r"(STABLE_TORCH_LIBRARY_IMPL\(\w+), CUDA,", r"\1, CPU,"),
)
COMMENT = re.compile(r"//[^\n]*")
LEFT = re.compile(r"<<<|>>>|__shared__|__grid_constant__|, CUDA,")


def translate(text: str, name: str) -> str:
    """Writes the C++ for `text`, a file that compilers and defects are to call `name`.

    Raises:
        ValueError: a form of CUDA C++ that the patterns above do not know.
    """
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        if LEFT.search(COMMENT.sub("", line)):
            raise ValueError(f"{name}:{number}: translate.py expected a form that it knows, got {line.strip()!r}")
    return f'#include <cuda_runtime.h>\n#line 1 "{name}"\n{text}'
