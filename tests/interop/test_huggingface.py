import copy
from typing import Any

import pytest
import torch

from jepa_lightning.interop.huggingface import translate, vjepa2_weights, without_prefixes
from jepa_lightning.nn import Predictor, VisionTransformer, take_tokens

transformers = pytest.importorskip("transformers")
FRAMES, SIDE, GRID = 8, 32, (4, 4, 4)


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    config = transformers.VJEPA2Config(
        patch_size=8, crop_size=SIDE, frames_per_clip=FRAMES, tubelet_size=2, hidden_size=72, num_attention_heads=3,
        num_hidden_layers=3, pred_hidden_size=48, pred_num_attention_heads=4, pred_num_hidden_layers=2,
        pred_num_mask_tokens=2, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.VJEPA2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases, norms and mask tokens too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def ours(theirs: Any, rope: str | None = "vjepa2") -> tuple[VisionTransformer, Predictor]:
    encoder = VisionTransformer(SIDE, 8, 72, 3, 3, num_frames=FRAMES, rope=rope)  # type: ignore[arg-type]
    predictor = Predictor(GRID, 72, 48, 2, 4, num_mask_tokens=2, rope=rope)  # type: ignore[arg-type]
    for network, state in zip((encoder, predictor), vjepa2_weights(theirs.state_dict()), strict=True):
        missing, unexpected = network.load_state_dict(state, strict=rope is not None)
        assert not unexpected
        assert all(name.endswith("pos_embed") for name in missing)
    return encoder.eval(), predictor.eval()


def masks(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.rand(2, 64, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return order[:, :20].sort().values, order[:, 20:50].sort().values


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_encoder_and_predictor_equal_those_of_hugging_face(theirs: Any, seed: int) -> None:
    encoder, predictor = ours(theirs)
    video = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    context, target = masks(seed)
    found = theirs(video.transpose(1, 2), context_mask=[context], target_mask=[target])
    tokens = encoder(video)
    torch.testing.assert_close(tokens, found.last_hidden_state, atol=1e-5, rtol=0)
    # what is published predicts with the second mask token
    predicted = predictor(take_tokens(tokens, context), context, target[:, None], mask_index=1)[:, 0]
    torch.testing.assert_close(predicted, found.predictor_output.last_hidden_state, atol=1e-5, rtol=0)


@torch.no_grad()
def test_kept_tokens_are_rotated_by_where_they_stand(theirs: Any) -> None:
    """Hugging Face's encoder takes no masks, but its layers do."""
    encoder, _ = ours(theirs)
    video = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    keep, _ = masks()
    tokens = take_tokens(theirs.encoder.embeddings(video.transpose(1, 2)), keep)
    for layer in theirs.encoder.layer:
        (tokens, *_) = layer(tokens, position_mask=keep)
    torch.testing.assert_close(encoder(video, keep=keep), theirs.encoder.layernorm(tokens), atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_rotation_and_with_position_tables_too(theirs: Any) -> None:
    """Theirs has no tables: it is given ours, and rotates no channel."""
    encoder, predictor = ours(theirs, rope=None)
    theirs = copy.deepcopy(theirs)
    for layer in (*theirs.encoder.layer, *theirs.predictor.layer):
        layer.attention.d_dim = layer.attention.h_dim = layer.attention.w_dim = 0
    context, target = masks()
    both = torch.cat([context, target], dim=1)
    theirs.encoder.embeddings.register_forward_hook(lambda _, __, out: out + encoder.pos_embed)
    positions = take_tokens(predictor.predictor_pos_embed.expand(2, -1, -1), both)
    theirs.predictor.embeddings.register_forward_hook(lambda _, __, out: (out[0] + positions, *out[1:]))
    video = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    found = theirs(video.transpose(1, 2), context_mask=[context], target_mask=[target])
    tokens = encoder(video)
    torch.testing.assert_close(tokens, found.last_hidden_state, atol=1e-5, rtol=0)
    predicted = predictor(take_tokens(tokens, context), context, target[:, None], mask_index=1)[:, 0]
    torch.testing.assert_close(predicted, found.predictor_output.last_hidden_state, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_exact_style_is_another_model(theirs: Any) -> None:
    encoder, _ = ours(theirs, rope="exact")
    video = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    found = theirs(video.transpose(1, 2), skip_predictor=True).last_hidden_state
    assert (encoder(video) - found).abs().max() > 1e-3


def test_weights_of_a_classifier_too(theirs: Any) -> None:
    state = theirs.state_dict()
    inside = {f"vjepa2.{name}": value for name, value in state.items()} | {"classifier.weight": torch.ones(2, 72)}
    for one, other in zip(vjepa2_weights(state), vjepa2_weights(inside), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="it is not of a VJEPA2Model"):
        vjepa2_weights(torch.nn.Linear(2, 2).state_dict())


def test_no_tensor_takes_the_place_of_another() -> None:
    state = {"a.norm": torch.ones(1), "norm": torch.ones(2), "other": torch.ones(3)}
    with pytest.raises(ValueError, match=r"^the weights have last twice: as a\.norm, and as norm\.$"):
        translate(state, (("a.norm", "last"), ("norm", "last")))
    with pytest.raises(ValueError, match=r"^the weights have norm twice, with a prefix and without\.$"):
        without_prefixes(state, ("a.", "b."))
    assert list(without_prefixes(state, ("b.",))) == list(state)
    found, unknown = translate(state, (("norm", "last"),))
    assert (list(found), unknown) == (["last"], ["a.norm", "other"])
