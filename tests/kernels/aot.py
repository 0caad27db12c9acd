"""Compiles Triton kernels for GPUs that need not be there, and reports what the compiler says of them.

A program: reads a JSON list of cases on stdin, writes a JSON list of their resources on stdout. What it has found
of a case stays under build/aot/ until the kernel, the case, Triton or this file changes. A case:

    kernel: "module:name"
    arch: 80, 90, 100 or 120
    signature: argument -> "*bf16", "i32", "fp32", of a tuple a list; arguments that are left out are constants
    constants: argument -> value
    multiples_of_16: arguments that are, at a usual launch; they decide how wide the loads are
    num_warps, num_stages, and maxnreg where the launch has it
    blocks: how many of them are meant to run on a processor at the same time; left out: one
    powers: how many powers of two a thread is meant to take of a tile, but of tiles that need a special treatment
"""

import contextlib
import hashlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CACHE = Path(__file__).parents[2] / "build" / "aot"
BINARIES = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
# By architecture, bytes of shared memory that a block may use, and that a processor has; threads of a processor.
SHARED_MEMORY = {80: 166912, 90: 232448, 100: 232448, 120: 101376}
PROCESSOR_SHARED_MEMORY = {arch: shared + 1024 for arch, shared in SHARED_MEMORY.items()}
PROCESSOR_THREADS = {80: 2048, 90: 2048, 100: 2048, 120: 1536}
PROCESSOR_REGISTERS, PROCESSOR_BLOCKS = 65536, 32
LOADS = re.compile(r"^(?:@\S+ )?LDG(?:STS)?\.(\S*)")  # of global memory, to registers or shared memory
WIDTHS = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}  # bytes a thread; else 4


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
    inputs = source.hash(), json.dumps(case, sort_keys=True), triton.__version__, Path(__file__).read_text()
    kept = CACHE / f"{hashlib.sha256(repr(inputs).encode()).hexdigest()[:32]}.json"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")  # written whole before it has its name
        partial.write_text(json.dumps(_resources(source, case)))
        partial.replace(kept)
    return json.loads(kept.read_text())


def _resources(source, case):
    arch, options = case["arch"], {name: case.get(name) for name in ("num_warps", "num_stages", "maxnreg")}
    log = io.StringIO()
    # A directory of its own: of a kernel that Triton has kept there is no log.
    with (
        tempfile.TemporaryDirectory() as folder,
        triton.knobs.cache.scope(),
        triton.knobs.nvidia.scope(),
        contextlib.redirect_stdout(log),
    ):
        triton.knobs.cache.dir = folder
        triton.knobs.nvidia.dump_ptxas_log = True
        compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = {
            name: int(value) for name, value in re.findall(r"(\w+):(\d+)", _run("cuobjdump", "-res-usage", cubin))
        }
        instructions, loops = _instructions(_run("nvdisasm", "-c", cubin))
    assert "Compiling entry function" in log.getvalue(), "Triton has not shown what ptxas says"
    # A specialized loop has more warps than the launch asks for; around it, others wait for what they are to do.
    specialized = "ttg.warp_specialize(" in compiled.asm["ttgir"]
    if specialized:
        loops = [loop for loop in loops if not any(_within(other, loop) for other in loops)]
    shared, threads = compiled.metadata.shared, 32 * compiled.metadata.num_warps
    loads = Counter(map(_bytes, filter(None, map(LOADS.match, instructions))))
    products = [loop for loop in loops if any("MMA" in instructions[i] for i in loop)]
    return {
        "shared": shared,
        "fits": shared <= SHARED_MEMORY[arch],
        "registers": usage["REG"],
        "spilled": usage["STACK"] + usage["LOCAL"],
        "blocks": _blocks(arch, usage["REG"], shared, threads),
        "instructions": max(map(len, loops), default=len(instructions)),  # of the longest loop
        # On the shortest way through a loop of products, which leaves out what few tiles need.
        "powers": max((_on_shortest_way(instructions, loop, "MUFU.EX2") for loop in products), default=0),
        "loads": {str(width): count for width, count in sorted(loads.items())},
        "tf32": "tf32" in compiled.asm["ptx"],
        "wgmma": "wgmma" in compiled.asm["ptx"],
        # Warps of their own, with more or fewer registers, copy tiles by TMA.
        "specialized": specialized
        and all(word in compiled.asm["ptx"] for word in ("setmaxnreg", "cp.async.bulk.tensor")),
        # Whether products are under way where a loop goes on: then others may overwrite what these are of.
        "pending": "warp_group_dot_wait" in compiled.asm["ttgir"],
        "serialized": re.findall(r"\(C75\d\d\).*", log.getvalue()),
        # Groups of copies that may still be under way where a loop waits for those that it needs.
        "in_flight": [int(n) for n in re.findall(r"ttg\.async_wait .*num = (\d+)", compiled.asm["ttgir"])][:1],
        # Offsets of rows, which are scalars or matrices, in 32 bits; those within a row are vectors.
        "narrow_offsets": re.findall(r"tt\.addptr .*, (?:i32|tensor<\d+x\d+xi32>) loc", compiled.asm["ttir"]),
    }


def _run(program, *arguments):
    command = [BINARIES / program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _bytes(load):
    return next((WIDTHS[word] for word in load[1].split(".") if word in WIDTHS), 4)


def _blocks(arch, registers, shared, threads):
    """Counts the blocks that run on a processor at the same time; each takes 1024 bytes of shared memory more."""
    return min(
        PROCESSOR_REGISTERS // (-(-registers // 8) * 8 * threads),
        PROCESSOR_SHARED_MEMORY[arch] // (shared + 1024),
        PROCESSOR_THREADS[arch] // threads,
        PROCESSOR_BLOCKS,
    )


def _instructions(assembly):
    """Reads a kernel's instructions, whose branches name an instruction's number, and its loops: ranges."""
    instructions, labels = [], {}
    for line in assembly.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line.strip()):
            labels[label[1]] = str(len(instructions))
        # Of sm_120 it is followed by what it waits for.
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?)(?:\s+[&?].*)?;", line):
            instructions.append(instruction[1].strip())
    instructions = [re.sub(r"`\((\.L_x_\d+)\)", lambda label: labels[label[1]], one) for one in instructions]
    ends = {i: _target(one) for i, one in enumerate(instructions)}
    return instructions, [range(start, i + 1) for i, start in ends.items() if start is not None and start < i]


def _target(instruction):
    """Reads the number of the instruction that a branch goes to; None for other instructions."""
    branch = re.search(r"\bBRA\b.* (\d+)$", instruction)
    return int(branch[1]) if branch else None


def _within(inner, outer):
    return inner != outer and inner.start >= outer.start and inner.stop <= outer.stop


def _on_shortest_way(instructions, loop, word):
    """Counts the instructions with this word on the way through a loop that takes the fewest instructions."""
    counts, reached = {loop[0]: 0}, [loop[0]]  # breadth first
    for i in reached:
        target = _target(instructions[i])
        always = target is not None and not re.match(r"@|BRA\.", instructions[i])
        for after in {target, None if always else i + 1} - counts.keys() - {None, len(instructions)}:
            counts[after] = counts[i] + (word in instructions[i])
            reached.append(after)
    return counts[loop[-1]]


if __name__ == "__main__":
    json.dump([compile_case(case) for case in json.load(sys.stdin)], sys.stdout)
