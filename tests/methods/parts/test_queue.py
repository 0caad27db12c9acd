"""The queue against a Python list."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslfast.errors import UsageError
from sslfast.methods.parts.queue import Queue, queue_size


def numbered(start: int, count: int, dim: int = 3) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32)[:, None].expand(count, dim)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_queue_holds_the_latest_keys(data):
    size = data.draw(st.integers(1, 9))
    queue = Queue(size, 3)
    model = queue.keys[:, 0].tolist()  # the row that is written next comes first
    enqueued = 0
    for _ in range(data.draw(st.integers(1, 8))):
        count = data.draw(st.integers(0, size))
        skip = data.draw(st.sampled_from([None, False, True]))
        flag = None if skip is None else torch.tensor(skip)
        keys = numbered(enqueued, count)
        queue.enqueue(keys / 0 if skip else keys, skip=flag)
        if not skip:
            model = (model + keys[:, 0].tolist())[count:]
            enqueued += count
        assert queue.keys.roll(-queue.pointer.item(), 0)[:, 0].tolist() == model
        assert queue.filled.item() == min(enqueued, size)


def test_queue_starts_with_seeded_unit_vectors():
    torch.manual_seed(3)
    first = Queue(64, 8)
    torch.manual_seed(3)
    assert torch.equal(first.keys, Queue(64, 8).keys)
    torch.testing.assert_close(first.keys.norm(dim=1), torch.ones(64))
    assert first.keys.dtype == torch.float32
    assert not first.keys.requires_grad


def test_queue_round_trips_through_its_state():
    queue, other = Queue(5, 3), Queue(5, 3)
    queue.enqueue(numbered(0, 4))
    other.load_state_dict(copy.deepcopy(queue.state_dict()))
    for either in (queue, other):
        either.enqueue(numbered(10, 3))
    for key, value in queue.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


def test_queue_takes_half_precision_and_keys_with_gradient():
    queue = Queue(4, 3)
    queue.enqueue(torch.full((2, 3), 0.5, dtype=torch.bfloat16, requires_grad=True))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad
    assert queue.keys[:2].eq(0.5).all()


@pytest.mark.parametrize("shape", [(6, 3), (2, 4), (3,), (), (1, 2, 3)])
def test_queue_refuses_keys_that_do_not_fit(shape):
    queue = Queue(5, 3)
    with pytest.raises(ValueError, match=r"Queue.enqueue: expected keys of shape \(N <= 5, 3\), got"):
        queue.enqueue(torch.zeros(shape))


@pytest.mark.parametrize(
    ("num_images", "size"),
    [(1_281_167, 65536), (50_000, 4096), (45_000, 4096), (4500, 512), (4096, 512), (4095, 256), (461, 128)],
)
def test_a_queue_holds_an_eighth_of_the_images_by_default(num_images, size):
    assert queue_size(None, 128, num_images) == size


def test_a_queue_holds_whole_batches():
    assert queue_size(None, 100, 45_000) == 4000
    assert queue_size(512, 128, 100) == 512
    with pytest.raises(UsageError, match="queue_size=500: expected a multiple of the 128 keys .*; take 512"):
        queue_size(500, 128, 45_000)
