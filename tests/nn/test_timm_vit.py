import pytest
import timm
import torch
from torch import Tensor, nn

from jepa_lightning.nn import TimmViT

# class token; class and register tokens, LayerScale; neither; SwiGLU and RoPE of EVA-02; DINOv3's; RoPE of each block;
# two attentions in each block
NAMES = {
    "vit_tiny_patch16_224": 32,
    "timm:vit_small_patch14_reg4_dinov2": 42,
    "vit_base_patch16_gap_224": 32,
    "eva02_tiny_patch14_224": 42,
    "timm:vit_small_patch16_dinov3": 48,
    "vit_small_patch16_rope_mixed_224": 48,
    "vit_small_patch16_18x2_224": 32,
}
PREFIX = dict(zip(NAMES, (1, 5, 0, 1, 5, 1, 1), strict=True))


def build(name: str, size: int | tuple[int, int] | None = None, **options: object) -> TimmViT:
    """With few blocks, and learned positions and LayerScale far from where they start."""
    torch.manual_seed(0)
    size = size or NAMES[name]
    model = TimmViT(name, (size, size) if isinstance(size, int) else size, **options).eval()
    model.model.blocks, model.depth, model.name = model.model.blocks[:2], 2, name
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if any(part in key for part in ("pos_embed", "cls_token", "reg_token", "gamma", "bias")):
                parameter.normal_(std=0.5)
    return model


def images(size: int | tuple[int, int], channels: int = 3) -> Tensor:
    size = (size, size) if isinstance(size, int) else size
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> TimmViT:
    return build(request.param)


@torch.no_grad()
def test_without_a_mask_it_is_timms_own_features(model: TimmViT) -> None:
    name = model.name
    x = images(model.input_size)
    tokens = model(x)
    assert tokens.shape == (2, 9 if NAMES[name] > 32 else 4, model.width)
    reference = timm.create_model(
        name.removeprefix("timm:"), img_size=NAMES[name], num_classes=0, global_pool=""
    ).eval()
    reference.blocks = reference.blocks[:2]
    # timm has the norm before the pooling, where there is none
    reference.load_state_dict(
        {key.replace("fc_norm", "norm"): value for key, value in model.model.state_dict().items()}
    )
    torch.testing.assert_close(tokens, reference.forward_features(x)[:, PREFIX[name] :], rtol=0, atol=0)


@torch.no_grad()
def test_kept_tokens_are_those_of_a_full_pass_in_which_no_masked_token_is_attended_to(model: TimmViT) -> None:
    """Slow: attention from and to all tokens, with those that are left out masked."""
    x, number = images(model.input_size), model.grid_size[0] * model.grid_size[1]
    prefix = model.model.num_prefix_tokens
    keep = torch.stack([torch.randperm(number, generator=torch.Generator().manual_seed(seed))[:3] for seed in range(2)])
    seen = torch.zeros(2, prefix + number, dtype=torch.bool)
    seen[:, :prefix] = True
    seen.scatter_(1, keep + prefix, value=True)
    mask = seen[:, None, None, :].expand(-1, 1, prefix + number, -1)
    slow = model.model.fc_norm(model.model.forward_features(x, attn_mask=mask))[:, prefix:]
    slow = torch.stack([tokens[kept] for tokens, kept in zip(slow, keep, strict=True)])
    masked = model(x, keep=keep)
    torch.testing.assert_close(masked, slow, rtol=1e-4, atol=1e-4)
    assert (masked - torch.stack([t[k] for t, k in zip(model(x), keep, strict=True)])).abs().max() > 1e-2


@torch.no_grad()
def test_pixels_of_masked_patches_change_nothing(model: TimmViT) -> None:
    x, (rows, columns) = images(model.input_size), model.grid_size
    keep = torch.tensor([[0, columns + 1]]).expand(2, -1)
    noise = torch.randn_like(x).unflatten(2, (rows, -1)).unflatten(4, (columns, -1))  # [B, C, rows, p, columns, p]
    for token in keep[0]:
        noise[:, :, token // columns, :, token % columns] = 0
    other = x + noise.flatten(4, 5).flatten(2, 3)
    torch.testing.assert_close(model(other, keep=keep), model(x, keep=keep), rtol=0, atol=0)
    assert not torch.allclose(model(other), model(x))


@torch.no_grad()
def test_layers_are_normed_outputs_of_blocks(model: TimmViT) -> None:
    x, keep, taken = images(model.input_size), torch.tensor([[3, 1], [0, 2]]), []
    hooks = [block.register_forward_hook(lambda *out: taken.append(out[-1])) for block in model.model.blocks]
    last = model(x, keep=keep)
    for hook in hooks:
        hook.remove()
    first = model.model.fc_norm(model.model.norm(taken[0]))[:, model.model.num_prefix_tokens :]
    torch.testing.assert_close(model(x, keep=keep, layers=[-1, 0, 1]), [last, first, last])
    with pytest.raises(ValueError, match=r"layers \(2,\) are not all there: the encoder has 2 blocks"):
        model(x, layers=(2,))


def test_all_parameters_have_gradients_under_a_mask(model: TimmViT) -> None:
    model.zero_grad()
    model(images(model.input_size), keep=torch.tensor([[0, 3]] * 2)).square().sum().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert model.model.patch_drop.keep is None


def test_a_mask_is_forgotten_when_the_pass_ends_in_an_error() -> None:
    model = build("vit_tiny_patch16_224")
    with pytest.raises(RuntimeError):
        model(images(32), keep=torch.tensor([[0, 99]] * 2))
    assert model(images(32)).shape == (2, 4, 192)


def test_poolers_are_left_out_and_norms_after_the_pooling_are_kept() -> None:
    pooled = build("vit_base_patch16_siglip_224", 32)
    assert not any("attn_pool" in name for name in pooled.state_dict())
    normed = build("eva02_tiny_patch14_224", 28)  # its norm comes after the pooling
    assert isinstance(normed.model.norm, nn.Identity)
    with torch.no_grad():
        tokens = normed(images(28))
        torch.testing.assert_close(tokens, normed.model.fc_norm(normed.model.forward_features(images(28)))[:, 1:])
        torch.testing.assert_close(normed(images(28), layers=[-1])[0], tokens)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_rectangles_channels_and_other_sizes(name: str) -> None:
    model = build(name, (32, 64), in_channels=13)
    assert model.grid_size == (2, 4)
    assert model(images((32, 64), 13)).shape == (2, 8, model.width)
    assert model(images(32, 13)).shape == (2, 4, model.width)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    def gradient(checkpointing: bool) -> Tensor:
        model = build("vit_tiny_patch16_224", gradient_checkpointing=checkpointing)
        model(images(32), keep=torch.tensor([[0, 2]] * 2)).square().sum().backward()
        return model.model.patch_embed.proj.weight.grad

    torch.testing.assert_close(gradient(True), gradient(False))


def test_a_state_of_another_image_size_is_resampled() -> None:
    small, large = build("vit_tiny_patch16_224", 32), build("vit_tiny_patch16_224", 64)
    state = small.state_dict()
    large.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(large(images(64)), small(images(64)))
    assert state["model.pos_embed"].shape == (1, 5, 192)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm:beit_base_patch16_224", "timm:beit_base_patch16_224 cannot predict under masks: it is a Beit"),
        ("resnet18", "resnet18 cannot predict under masks: it is a ResNet"),
        ("vit_tiny_r_s16_p8_224", "cannot predict under masks: its HybridEmbed mixes patches"),
        ("timm:vit_smal", "there is no encoder 'timm:vit_smal'"),
    ],
)
def test_other_networks_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TimmViT(name, (32, 32))


def test_an_image_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="patch 14x14 does not divide an input of 32x32"):
        TimmViT("vit_small_patch14_dinov2", (32, 32))
