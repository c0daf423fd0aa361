"""The networks that the options of V-JEPA build."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning import VJEPA
from jepa_lightning.nn import VisionTransformer

Build = Callable[..., Any]
BLOCK = [
    *("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"),
    *("norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
]


@pytest.mark.parametrize("rope", [False, True])
def test_names_and_shapes_are_those_of_the_released_weights(tiny_vjepa: Build, rope: bool) -> None:
    """SPEC 6.1; the tables of the second version are not used, and loaders leave them out."""
    model = tiny_vjepa(rope=rope)
    encoder = ["patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"]
    encoder += [f"blocks.{i}.{name}" for i in range(2) for name in BLOCK] + ([] if rope else ["pos_embed"])
    predictor = ["mask_tokens.0", "mask_tokens.1", *([] if rope else ["predictor_pos_embed"])]
    predictor += [f"predictor_blocks.0.{name}" for name in BLOCK]
    predictor += [f"predictor_{n}.{kind}" for n in ("embed", "norm", "proj") for kind in ("weight", "bias")]
    for network, names in (
        (model.context_encoder, encoder), (model.target_encoder, encoder), (model.predictor, predictor),
    ):  # fmt: skip
        assert sorted(network.state_dict()) == sorted(names)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["context_encoder.patch_embed.proj.weight"] == (48, 3, 2, 8, 8)
    assert shapes["predictor.mask_tokens.1"] == (1, 1, 24)
    assert shapes.get("context_encoder.pos_embed") == (None if rope else (1, 64, 48))
    assert shapes.get("predictor.predictor_pos_embed") == (None if rope else (1, 64, 24))
    assert {name.split(".")[0] for name in shapes} == {"context_encoder", "target_encoder", "predictor"}


def sines(width: int, place: int) -> Tensor:
    angles = torch.tensor([place / 10000 ** (k / (width // 2)) for k in range(width // 2)])
    return torch.cat([angles.sin(), angles.cos()])


@pytest.mark.parametrize(
    ("options", "shares"),
    [({}, (16, 16, 16)), ({"uniform_power": False}, (24, 12, 12)), ({"num_frames": 1}, (0, 24, 24))],
)
def test_position_tables_run_over_frames_rows_and_columns(
    tiny_vjepa: Build, options: dict[str, Any], shares: tuple[int, ...]
) -> None:
    model = tiny_vjepa(predictor_dim=48, **options)
    grid = (4 if shares[0] else 1, 4, 4)
    rows = [torch.cat([sines(w, at) for w, at in zip(shares, place, strict=True) if w]) for place in np.ndindex(*grid)]
    for table in (model.context_encoder.pos_embed, model.predictor.predictor_pos_embed):
        torch.testing.assert_close(table[0], torch.stack(rows))


def slow_positions(table: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Linear along each axis between the centers of tokens, ``[N, D]``; a shorter clip has the first ones."""
    values = table.reshape(*old, -1)
    for axis, (size, wanted) in enumerate(zip(old, new, strict=True)):
        places = (np.arange(wanted) + 0.5) * size / wanted - 0.5
        weights = np.stack([np.interp(places, np.arange(size), one) for one in np.eye(size)], axis=1)
        values = torch.tensordot(torch.tensor(weights).float(), values, ([1], [axis])).movedim(0, axis)
    return values.flatten(0, -2)


@pytest.mark.parametrize("options", [{}, {"rope": True}, {"rope": True, "rope_style": "vjepa2"}])
@pytest.mark.parametrize("size", [(4, 32, 32), (12, 32, 32), (8, 48, 40), (4, 48, 32)])
def test_a_model_of_clips_takes_images_other_lengths_and_other_sizes(
    tiny_vjepa: Build, options: dict[str, Any], size: tuple[int, int, int]
) -> None:
    model = tiny_vjepa(**options).eval()
    frames, *space = size
    image, clip = torch.randn(2, 3, *space), torch.randn(2, 3, *size)
    torch.testing.assert_close(model(image), model(torch.stack([image, image], dim=2)))
    built = tiny_vjepa(num_frames=frames, image_size=tuple(space), **options).target_encoder.eval()
    weights = model.target_encoder.state_dict()
    if not options:
        first = model.grid_size[1:] == built.grid_size[1:] and frames < 8
        table = weights["pos_embed"][0]
        table = table[: built.grid_size[0] * 16] if first else slow_positions(table, model.grid_size, built.grid_size)
        weights["pos_embed"] = table[None]
    built.load_state_dict(weights)
    torch.testing.assert_close(model(clip, pool=False), built(clip), atol=1e-5, rtol=1e-5)
    assert model(clip, layers=(0, 1)).shape == (2, 96)


def test_legacy_init_and_checkpointing_reach_both_networks(tiny_vjepa: Build) -> None:
    for legacy in (False, True):
        model = tiny_vjepa(width=192, predictor_dim=192, legacy_init=legacy, gradient_checkpointing=legacy)
        assert model.context_encoder.gradient_checkpointing == model.predictor.gradient_checkpointing == legacy
        for block in (model.context_encoder.blocks[0], model.predictor.predictor_blocks[0]):
            assert block.attn.proj.weight.std().item() == pytest.approx(0.02 / (1 if legacy else 2**0.5), rel=0.05)


def test_own_encoder_by_overriding(tiny_vjepa: Build, clips_of: Build) -> None:
    class Doubled(VisionTransformer):
        def forward(self, *args: Any, **options: Any) -> Any:
            return 2 * super().forward(*args, **options)

    class Mine(VJEPA):
        def build_encoder(self) -> VisionTransformer:
            return Doubled(self.image_size, self.patch_size, 24, 1, 3, num_frames=self.num_frames)

    model = tiny_vjepa(Mine)
    assert type(model.target_encoder) is Doubled
    assert (model.encoder_width, model.grid_size) == (24, (4, 4, 4))
    batch = clips_of(model)
    model.objective(batch, 0.0).loss.backward()
    assert all(p.grad is not None for p in model.context_encoder.parameters())
    assert model(batch.views[0]).shape == (8, 24)


def test_target_shares_no_storage_and_stays_in_eval_mode(tiny_vjepa: Build) -> None:
    model = tiny_vjepa(drop_path=0.5)
    held, copied = ([*net.parameters(), *net.buffers()] for net in (model.context_encoder, model.target_encoder))
    assert all(torch.equal(a, b) for a, b in zip(held, copied, strict=True))
    assert {t.data_ptr() for t in held}.isdisjoint(t.data_ptr() for t in copied)
    model.train()
    assert model.context_encoder.training
    assert not any(layer.training for layer in model.target_encoder.modules())
