import torch

from jepa_lightning.nn import take_tokens


def test_takes_each_rows_own_tokens() -> None:
    tokens = torch.randn(2, 5, 3)
    indices = torch.tensor([[4, 0], [1, 1]])
    taken = take_tokens(tokens, indices)
    for row in range(2):
        for k in range(2):
            assert torch.equal(taken[row, k], tokens[row, indices[row, k]])
