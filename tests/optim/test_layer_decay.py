from typing import Any

import pytest
import timm
import torch
from torch import nn

from jepa_lightning.nn import ClassTokenViT, VisionTransformer
from jepa_lightning.optim.layer_decay import layer_decay_groups, layers_of


def clips_and_images() -> VisionTransformer:
    """An encoder with all that a token is made of before the first block, and with a norm of each block."""
    return VisionTransformer(
        (16, 16), 8, 16, depth=3, heads=2, num_frames=4, tubelet_size=2, images=True, registers=2, levels=[0, 2]
    )


def found(encoder: nn.Module, head: nn.Module, decay: float = 0.5) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Groups, and the group of each parameter by its name."""
    groups = layer_decay_groups(encoder, head, lr=0.8, decay=decay, weight_decay=0.1)
    owner = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(owner) == sum(len(group["params"]) for group in groups)  # each once
    named = [*encoder.named_parameters(), *((f"head.{name}", parameter) for name, parameter in head.named_parameters())]
    return groups, {name: owner.get(id(parameter)) for name, parameter in named}


def test_the_rate_is_divided_once_for_each_layer_that_is_above() -> None:
    _, of = found(clips_and_images(), nn.Linear(16, 3))
    for name, group in of.items():
        above = 4  # three blocks and the head
        if name.startswith("head."):
            above = 0
        elif name.startswith("blocks."):
            above = 3 - int(name.split(".")[1])
        elif name.startswith("norms_block."):
            above = 1
        assert group["lr"] == pytest.approx(0.8 / 2**above), name


def test_what_makes_tokens_of_pixels_is_the_first_layer() -> None:
    layer, last = layers_of(clips_and_images())
    assert last == 3
    assert {name for name, _ in clips_and_images().named_parameters() if layer(name) == 0} == {
        "patch_embed.proj.weight", "patch_embed.proj.bias", "patch_embed_img.proj.weight", "patch_embed_img.proj.bias",
        "img_mod_embed", "video_mod_embed", "reg_token",
    }  # fmt: skip
    layer, _ = layers_of(ClassTokenViT((16, 16), patch_size=8, width=12, depth=1, heads=2))
    assert layer("class_token") == 0
    # names of timm's networks, in one that is not of timm
    names = [
        "network.pos_embed",
        "network.cls_token",
        "network.patch_embed.0.weight",
        "network.pos_embedding",
        "norm.bias",
    ]
    assert [layer(name) for name in names] == [0, 0, 0, 1, 1]


def test_biases_and_norms_have_groups_of_their_own_without_decay() -> None:
    groups, of = found(clips_and_images(), nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 3)))
    for name, group in of.items():
        plain = name.endswith("bias") or "norm" in name or name == "head.0.weight"
        assert (group["decay"], group["weight_decay"]) == (not plain, 0.0 if plain else 0.1), name
        assert group["name"].endswith("-no_decay") == plain, name
    layers = [f"layer_{number}{end}" for number in range(4) for end in ("-no_decay", "")]
    assert [group["name"] for group in groups] == [*layers, "head-no_decay", "head"]


def test_a_part_of_a_network_that_is_called_bias_is_decayed_and_flat_shards_know_their_axes() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias_free = nn.Linear(2, 2)
            self.scale = nn.Parameter(torch.ones(2))
            self.flat = nn.Parameter(torch.ones(4))
            self.flat.axes = 2  # type: ignore[attr-defined] # as FSDP1's are marked

    _, of = found(Encoder(), nn.Linear(2, 2))
    assert [name for name, group in of.items() if group["decay"]] == ["flat", "bias_free.weight", "head.weight"]


def test_what_is_frozen_is_in_no_group() -> None:
    encoder, head = clips_and_images(), nn.Linear(16, 3)
    encoder.blocks[0].requires_grad_(False)
    head.bias.requires_grad_(False)
    groups, of = found(encoder, head)
    assert {name for name, group in of.items() if group is None} == {
        *(f"blocks.0.{name}" for name, _ in encoder.blocks[0].named_parameters()),
        "head.bias",
    }
    assert not any(group["name"].startswith(("layer_1", "head-no_decay")) for group in groups)


def test_an_encoder_without_blocks_is_one_layer() -> None:
    _, of = found(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), nn.Linear(4, 2))
    assert {group["lr"] for name, group in of.items() if not name.startswith("head.")} == {0.4}
    assert of["head.weight"]["lr"] == 0.8


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_layers_of_a_network_of_timm_are_timms_wherever_it_is(wrapped: bool) -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=12, num_heads=2, num_classes=0)
    encoder, prefix = (nn.ModuleDict({"model": model, "last": nn.Linear(12, 12)}), "model.") if wrapped else (model, "")
    _, of = found(encoder, nn.Linear(12, 2))
    expected = {"cls_token": 0, "pos_embed": 0, "patch_embed.proj.weight": 0, "blocks.0.attn.qkv.weight": 1,
                "blocks.1.mlp.fc1.bias": 2, "norm.weight": 2}  # fmt: skip
    for name, number in expected.items():
        assert of[prefix + name]["lr"] == pytest.approx(0.8 / 2 ** (3 - number)), name
    if wrapped:
        assert of["last.weight"]["name"] == "layer_2"  # behind all that timm knows
