"""The emulator itself: what it says of each kernel of checks.cu."""

import ctypes
import re

import pytest

from tests.kernels.emulator import build
from tests.kernels.emulator.emulated import SANITIZE, Emulator, skip_where_there_is_none
from tests.kernels.emulator.translate import translate

UNDEFINED = {
    "different_barriers": r"thread \d+ waits for its block at checks.cu:\d+, but thread \d+ at checks.cu:\d+",
    "return_before_a_barrier": "waits for its block at checks.cu:.*, but block 0, thread 5 has returned",
    "barriers_of_warp_and_block": r"thread 5 waits for its warp .*, but .* waits for its block",
    "return_before_the_grids_barrier": "waits for its grid .*, but block 1, thread .* has returned",
    "grids_barrier_in_a_plain_launch": "waits for its grid at checks.cu:.*, in a launch that is not cooperative",
    "mask_without_the_own_lane": "comes to checks.cu:.*, whose mask 0x0000ffff leaves its lane out",
    "mask_beyond_the_warp": "whose mask 0xffffffff names lanes beyond the 8 of its warp",
    "mask_with_a_lane_that_returned": "waits for its warp .*, but block 0, thread 7 has returned",
    "shuffle_from_outside_of_the_mask": "reads lane 16 at checks.cu:.*, which its mask 0x0000ffff leaves out",
    "votes_in_two_places": "waits for its warp .*, but .* waits for its warp",
    "more_shared_variables_than_are_kept": "declares more than the 16384 bytes of shared variables",
    "another_stream": "places: not launched on the current stream",
    "too_many_threads": "invalid configuration argument",
    "too_much_shared_memory": "invalid argument",
    "too_many_blocks_to_wait": "too many blocks in cooperative launch",
}
# What the search for races finds; the sanitizers that stand in for it find other things, and end the process.
ACCESSES = {
    "beyond_dynamic_shared_memory": "thread 63 touches 4 bytes outside of its shared memory, of which 256 bytes",
    "beyond_a_shared_variable": "thread 0 touches 4 bytes outside of its shared memory",
    "read_of_what_nobody_wrote": "thread 0 reads shared memory that nobody has written",
    "read_before_a_barrier": "shared memory that block 0, thread .*, with no barrier|nobody has written",
    "write_before_a_barrier": "shared memory that .*, with no barrier between; it came last to checks.cu",
    "shuffle_in_place_of_a_barrier": "4 bytes of shared memory that .* wrote, with no barrier|nobody has written",
    "barrier_of_the_block_for_other_blocks": "4 bytes of global memory that block ., thread 0 .*, with no barrier",
    "neighbors_write_the_same_byte": "writes 1 bytes of global memory that block 0, thread .* wrote",
    "plain_read_beside_atomics": "4 bytes of global memory that .*, with no barrier between",
}
LANES = range(32)
DEFINED = {
    "places": [100 * block + thread for block in range(12) for thread in range(24)],
    "shuffles": [
        *[3 for _ in LANES],
        *[lane - 2 if lane > 1 else lane for lane in LANES],
        *[lane + 1 if lane % 8 < 7 else lane for lane in LANES],
        *[lane ^ 16 for lane in LANES],
        *[2 * (lane // 8 * 8 + 1) + 1 for lane in LANES],
    ],
    "votes": [0b111 + 16 for _ in LANES] + [5 + 16 for _ in LANES],
    "halves_of_a_warp": [3**4] * 16 + [2**4] * 16,
    "sum_by_blocks": [sum(range(128))] * 3,
    "neighbors_in_turn": [(i + 3) % 96 for i in range(96)],
    "atomics": [128, 63, -63, 0, 128, 64, 64],
    "vectors": [1, 2, 3, 4] * 2,
}


@pytest.fixture(scope="module")
def checks():
    skip_where_there_is_none()
    source = (build.HERE / "checks.cu").read_text()
    emulator = Emulator(build.cuda_kernels({"checks.cu": source}, torch_ops=False, sanitize=SANITIZE))
    emulator.library.run.restype = ctypes.c_char_p
    return emulator


def run(checks, kernel):
    """Returns what the emulator says of the kernel, and its output."""
    out = (ctypes.c_int * 512)()
    message = checks.library.run(kernel.encode(), out)
    return message.decode() if message else "", list(out)


@pytest.fixture(params=range(3))
def seed(request):
    return request.param


@pytest.mark.parametrize("kernel", UNDEFINED)
def test_what_cuda_leaves_undefined_is_reported(checks, kernel, seed):
    checks.configure(seed=seed)
    message, _ = run(checks, kernel)
    assert re.search(UNDEFINED[kernel], message)


@pytest.mark.skipif(bool(SANITIZE), reason="sanitizers stand in for the search for races")
@pytest.mark.parametrize("kernel", ACCESSES)
def test_accesses_that_no_barrier_orders_are_reported(checks, kernel, seed):
    checks.configure(seed=seed)
    message, _ = run(checks, kernel)
    assert message.startswith(f"{kernel}: block ")
    assert re.search(ACCESSES[kernel], message)


@pytest.mark.parametrize("kernel", DEFINED)
def test_what_cuda_defines_runs_in_any_order(checks, kernel, seed):
    checks.configure(seed=seed)
    message, out = run(checks, kernel)
    assert not message
    assert out[: len(DEFINED[kernel])] == DEFINED[kernel]


def test_a_launch_after_a_defect_is_as_good_as_the_first(checks):
    checks.configure()
    for kernel in ("return_before_a_barrier", "sum_by_blocks", "different_barriers", "sum_by_blocks"):
        message, out = run(checks, kernel)
        assert bool(message) == (kernel in UNDEFINED)
    assert out[:3] == DEFINED["sum_by_blocks"]


@pytest.mark.parametrize(
    "line", ["__shared__ int one, other;", "extern __shared__ int a[], b[];", "(*kernel)<<<1, 1>>>(out);"]
)
def test_what_cannot_be_translated_is_named(line):
    with pytest.raises(ValueError, match=rf"^file.cu:2: translate.py expected .* got '{re.escape(line)}'$"):
        translate(f"\n{line}\n", "file.cu")
