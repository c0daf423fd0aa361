import numpy as np
import torch
from torch.nn import functional as F

from jepa_lightning.probing.dense_heads import IGNORED, DenseHeads, DenseRecipe, dense_loss, dense_outputs, fit_dense

CPU = torch.device("cpu")


def test_heads_are_a_norm_and_a_linear_layer_for_each_token() -> None:
    torch.manual_seed(0)
    heads, maps = DenseHeads(6, 3, variants=2), torch.randn(4, 6, 3, 5)
    torch.nn.init.normal_(heads.heads[1].weight)
    found = heads(maps, (6, 10))
    normed = F.batch_norm(maps, None, None, training=True, eps=1e-6)
    logits = normed.permute(0, 2, 3, 1) @ heads.heads[1].weight[:, :, 0, 0].T
    expected = F.interpolate(logits.permute(0, 3, 1, 2), (6, 10), mode="bilinear")
    torch.testing.assert_close(found[1], expected)
    assert (found[0] == 0).all()


def test_losses_leave_out_pixels_without_a_label() -> None:
    torch.manual_seed(0)
    outputs, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4)).to(torch.uint8)
    target[0, 0] = IGNORED
    torch.testing.assert_close(
        dense_loss(outputs, target), F.cross_entropy(outputs, target.long(), ignore_index=IGNORED)
    )
    depth = torch.rand(2, 4, 4)
    depth[1] = torch.nan
    torch.testing.assert_close(dense_loss(outputs[:, :1], depth), (outputs[0, 0] - depth[0]).abs().mean())


def test_heads_learn_what_is_in_the_tokens_and_those_at_once_are_those_alone() -> None:
    torch.manual_seed(0)
    target = torch.randint(0, 3, (40, 4, 4)).to(torch.uint8)
    tokens = (F.one_hot(target.long(), 3).float() + 0.1 * torch.randn(40, 4, 4, 3)).flatten(1, 2).half().numpy()
    recipe, rows = DenseRecipe(((5e-2, 0.0), (1e-3, 0.0)), epochs=10), torch.arange(30)
    heads = fit_dense(tokens, target.numpy(), rows, 3, (4, 4), recipe, recipe.variants, 0, CPU)
    parts = list(dense_outputs(heads, tokens, target.numpy(), torch.arange(30, 40), (4, 4), CPU))
    found = torch.cat([outputs[0] for outputs, _ in parts]).argmax(dim=1)
    assert (found == target[30:]).all()
    assert np.array_equal(torch.cat([truth for _, truth in parts]), target[30:])
    alone = fit_dense(tokens, target.numpy(), rows, 3, (4, 4), recipe, [recipe.variants[1]], 0, CPU)
    torch.testing.assert_close(alone.heads[0].weight, heads.heads[1].weight, atol=1e-3, rtol=0)
