import pytest
import torch

from jepa_lightning.nn import Predictor


def tiny(**options: object) -> Predictor:
    torch.manual_seed(0)
    return Predictor(**{"grid_size": (4, 4), "encoder_width": 32, "width": 24, "depth": 2, "heads": 3, **options})


def indices(batch: int, *shape: int) -> torch.Tensor:
    return torch.stack([torch.randperm(16)[: shape[-1]] for _ in range(batch * shape[0])]).view(batch, *shape)


def test_batched_blocks_equal_a_loop_over_blocks_and_images() -> None:
    model = tiny().eval()
    context, where = torch.randn(3, 5, 32), indices(3, 1, 5)[:, 0]
    targets = indices(3, 4, 6)
    together = model(context, where, targets)
    assert together.shape == (3, 4, 6, 32)
    for image in range(3):
        for block in range(4):
            known = model.predictor_embed(context[image]) + model.predictor_pos_embed[0, where[image]]
            wanted = model.mask_token[0] + model.predictor_pos_embed[0, targets[image, block]]
            row = torch.cat([known, wanted])[None]
            for layer in model.predictor_blocks:
                row = layer(row)
            alone = model.predictor_proj(model.predictor_norm(row))[0, 5:]
            torch.testing.assert_close(together[image, block], alone, atol=1e-5, rtol=1e-5)


def test_blocks_do_not_see_each_other() -> None:
    model = tiny().eval()
    context, where, targets = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 3, 4)
    before = model(context, where, targets)
    targets[:, 1] = indices(2, 1, 4)[:, 0]
    after = model(context, where, targets)
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_parameters_are_named_and_ordered_as_in_the_reference() -> None:
    names = [name.split(".")[0] for name in tiny().state_dict()]
    order = [
        "mask_token",
        "predictor_pos_embed",
        "predictor_embed",
        "predictor_blocks",
        "predictor_norm",
        "predictor_proj",
    ]
    assert list(dict.fromkeys(names)) == order
    assert tiny().mask_token.shape == (1, 1, 24)


@pytest.mark.parametrize(
    ("width", "depth", "heads", "encoder", "millions"),
    [(384, 12, 16, 1280, 22.3), (384, 12, 16, 1024, 22.1), (384, 16, 16, 1408, 29.5), (384, 6, 12, 768, 11.2)],
)
def test_published_number_of_parameters(width: int, depth: int, heads: int, encoder: int, millions: float) -> None:
    with torch.device("meta"):
        model = Predictor((14, 14), encoder, width, depth, heads)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_checkpointing_changes_no_gradient() -> None:
    context, where, targets = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 3, 4)
    grads = []
    for saving in (False, True):
        model = tiny(gradient_checkpointing=saving)
        model(context, where, targets).square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="predictor width 25 is not a multiple of its heads 3"):
        tiny(width=25)


@pytest.mark.parametrize("rope", [None, "exact"])
def test_each_kind_of_mask_has_its_own_token(rope: str | None) -> None:
    predictor = Predictor((2, 4, 4), 48, 24, 1, 2, num_mask_tokens=2, rope=rope).eval()  # type: ignore[arg-type]
    context, places = torch.randn(2, 5, 48), torch.arange(10).expand(2, -1)
    first, second = (predictor(context, places[:, :5], places[:, None, 5:], mask_index=i) for i in range(2))
    assert torch.equal(first, second)  # all start at 0
    torch.nn.init.ones_(predictor.mask_tokens[1])
    again, moved = (predictor(context, places[:, :5], places[:, None, 5:], mask_index=i) for i in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(second, moved)


def test_rotary_blocks_equal_a_loop_over_blocks_too() -> None:
    predictor = Predictor((2, 4, 4), 48, 24, 2, 2, num_mask_tokens=1, rope="exact").eval()
    context, keep = torch.randn(2, 5, 48), torch.rand(2, 32).argsort(dim=1)
    targets = keep[:, 5:11].reshape(2, 2, 3)
    together = predictor(context, keep[:, :5], targets)
    for i in range(2):
        alone = predictor(context, keep[:, :5], targets[:, i : i + 1])
        torch.testing.assert_close(together[:, i : i + 1], alone)
