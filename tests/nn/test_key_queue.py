import io
import random
from collections import deque

import pytest
import torch
from torch import Tensor

from jepa_lightning.nn import KeyQueue


def from_the_oldest(queue: KeyQueue) -> Tensor:
    return queue.keys.roll(-int(queue.place), dims=0)


@pytest.mark.parametrize("size", [1, 5, 8])
def test_order_is_that_of_a_deque_for_any_batch_sizes(size: int) -> None:
    torch.manual_seed(size)
    queue, draws = KeyQueue(size, 3), random.Random(size)
    slow = deque(queue.keys.clone(), maxlen=size)
    batch_sizes = [1, size, size + 1, 3 * size, *(draws.randint(1, 2 * size + 3) for _ in range(40))]
    for batch_size in batch_sizes:
        keys = torch.randn(batch_size, 3)
        queue(keys)
        slow.extend(keys)
        assert torch.equal(from_the_oldest(queue), torch.stack(list(slow)))
        assert 0 <= queue.place < size


def test_it_starts_with_random_directions_and_keeps_its_type_and_no_graph() -> None:
    torch.manual_seed(0)
    queue = KeyQueue(200, 3)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(200))
    assert queue.keys.mean(dim=0).abs().max() < 0.2  # five standard errors
    queue(torch.ones(4, 3, dtype=torch.bfloat16, requires_grad=True))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad
    assert torch.equal(queue.keys[:4], torch.ones(4, 3))
    assert not list(queue.parameters())


def test_a_resumed_queue_continues_where_it_was() -> None:
    torch.manual_seed(0)
    queue = KeyQueue(5, 3)
    queue(torch.randn(7, 3))
    file = io.BytesIO()
    torch.save(queue.state_dict(), file)
    file.seek(0)
    resumed = KeyQueue(5, 3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    keys = torch.randn(4, 3)
    queue(keys)
    resumed(keys)
    assert torch.equal(resumed.keys, queue.keys)
    assert resumed.place == queue.place == 1
