import pytest
import torch

from jepa_lightning.losses import token_content


def kept() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    positions = torch.stack([torch.randperm(9, generator=generator)[:5] for _ in range(6)])
    return torch.randn(6, 5, 3, generator=generator), positions


def test_equals_a_slow_loop_over_positions() -> None:
    tokens, positions = kept()
    slow = tokens.clone()
    for place in range(9):
        there = positions == place
        if there.any():
            slow[there] -= tokens[there].mean(dim=0)
    torch.testing.assert_close(token_content(tokens, positions, 9), slow.flatten(0, 1))


def test_what_depends_on_the_position_alone_is_no_content() -> None:
    tokens, positions = kept()
    table = torch.randn(9, 3) * 10
    torch.testing.assert_close(token_content(table[positions], positions, 9), torch.zeros(30, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        token_content(tokens + table[positions], positions, 9), token_content(tokens, positions, 9), atol=1e-5, rtol=0
    )


def test_order_of_tokens_does_not_matter_and_gradients_are_right() -> None:
    tokens, positions = kept()
    order = torch.randperm(5)
    torch.testing.assert_close(
        token_content(tokens[:, order], positions[:, order], 9).view(6, 5, 3),
        token_content(tokens, positions, 9).view(6, 5, 3)[:, order],
    )
    tokens.requires_grad_()
    weights = torch.randn(30, 3)
    (fast,) = torch.autograd.grad((token_content(tokens, positions, 9) * weights).sum(), tokens)
    means = torch.stack([tokens[positions == place].mean(dim=0) for place in range(9)])
    (slow,) = torch.autograd.grad(((tokens - means[positions]).flatten(0, 1) * weights).sum(), tokens)
    torch.testing.assert_close(fast, slow)


def test_half_precision_is_raised_and_a_single_image_refused() -> None:
    tokens, positions = kept()
    assert token_content(tokens.bfloat16(), positions, 9).dtype == torch.float32
    with pytest.raises(ValueError, match="token_content is a statistic over the batch"):
        token_content(tokens[:1], positions[:1], 9)
