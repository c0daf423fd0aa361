from dataclasses import replace

import numpy as np
import torch

from jepa_lightning.probing.attentive_grid import AttentiveRecipe, fit_attentive
from jepa_lightning.probing.label_kinds import ClassLabel, ValueLabel

CPU = torch.device("cpu")
RECIPE = AttentiveRecipe((1e-2, 1e-3), (0.0, 0.1), depth=1, epochs=12, batch_size=16)


def marked(size: int) -> tuple[np.ndarray, torch.Tensor]:
    """Tokens of which one, anywhere, says the class, so that their mean hardly does."""
    torch.manual_seed(0)
    tokens, target = torch.randn(size, 9, 8), torch.randint(0, 2, (size,))
    tokens[torch.arange(size), torch.randint(0, 9, (size,)), 0] = torch.where(target == 1, 8.0, -8.0)
    return tokens.half().numpy(), target


def test_heads_at_once_are_those_trained_alone() -> None:
    tokens, target = marked(32)
    rows = torch.arange(32)
    both = fit_attentive(tokens, rows, target, ClassLabel(2), RECIPE, RECIPE.variants, 0, CPU)
    alone = fit_attentive(tokens, rows, target, ClassLabel(2), RECIPE, [RECIPE.variants[3]], 0, CPU)
    [(_, first)], [(_, [second])] = list(both.outputs(tokens, rows)), list(alone.outputs(tokens, rows))
    torch.testing.assert_close(first[3], second, atol=1e-4, rtol=1e-3)
    assert (first[0] - first[3]).abs().max() > 0.1


def test_it_finds_the_token_that_tells() -> None:
    tokens, target = marked(360)
    recipe = replace(RECIPE, epochs=15)
    fitted = fit_attentive(tokens, torch.arange(320), target[:320], ClassLabel(2), recipe, [(1e-2, 0.0)], 0, CPU)
    found = torch.cat([outputs[0] for _, outputs in fitted.outputs(tokens, torch.arange(320, 360))])
    assert (found.argmax(dim=1) == target[320:]).float().mean() > 0.85


def test_values_come_back_in_their_own_units() -> None:
    tokens, target = marked(64)
    values = 500 + 20 * target[:, None].float()
    fitted = fit_attentive(tokens, torch.arange(64), values, ValueLabel(1), RECIPE, [(1e-2, 0.0)], 0, CPU)
    found = torch.cat([outputs[0] for _, outputs in fitted.outputs(tokens, torch.arange(64))])
    assert 500 < found.mean() < 520
    assert (found - values).abs().mean() < 5
