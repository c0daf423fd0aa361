from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop import load_reference
from jepa_lightning.nn import sincos_pos_embed, take_tokens

Write = Callable[..., Path]


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.rand(2, 16, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    return order[:, :6], order[:, 6:12].reshape(2, 2, 3)


@torch.no_grad()
@pytest.mark.parametrize("which", ["encoder", "target_encoder", "predictor"])
def test_each_entry_of_a_file_of_ijepa(which: str, ijepa: IJEPA, reference_file: Write) -> None:
    network, report = load_reference(reference_file(ijepa, "ijepa"), which, heads=3)  # type: ignore[arg-type]
    image, (context, target) = torch.randn(2, 3, 32, 32), masks()
    if which == "predictor":
        tokens = take_tokens(ijepa.context_encoder(image), context)
        inputs: tuple[Any, ...] = (tokens, context, target)
        own: Any = ijepa.predictor
    else:
        inputs, own = (image,), ijepa.context_encoder if which == "encoder" else ijepa.target_encoder
    assert torch.equal(network(*inputs), own(*inputs))
    assert report.entry == which
    assert sorted(report.loaded) == sorted(own.state_dict())
    assert not report.skipped
    assert not report.reshaped
    assert not network.training


@torch.no_grad()
def test_vjepa_and_its_predictor_with_all_frames(vjepa: VJEPA, reference_file: Write) -> None:
    path, clip = reference_file(vjepa, "vjepa"), torch.randn(2, 3, 8, 32, 32)
    encoder, report = load_reference(path, heads=3, num_frames=8)
    assert torch.equal(encoder(clip), vjepa.target_encoder(clip))
    assert not report.skipped
    predictor, _ = load_reference(path, "predictor", heads=3, num_frames=8)
    context, target = masks()
    tokens = torch.randn(2, 6, 48)
    for kind in (0, 1):
        assert torch.equal(predictor(tokens, context, target, kind), vjepa.predictor(tokens, context, target, kind))


@torch.no_grad()
def test_vjepa2_rotates_and_leaves_its_unused_tables(vjepa2: VJEPA, reference_file: Write) -> None:
    path, clip = reference_file(vjepa2, "vjepa2"), torch.randn(2, 3, 8, 32, 32)
    encoder, report = load_reference(path, heads=3)
    assert torch.equal(encoder(clip), vjepa2.target_encoder(clip))
    assert list(report.skipped) == ["pos_embed"]
    predictor, _ = load_reference(path, "predictor", heads=3, image_size=32, num_frames=8)
    assert len(predictor.mask_tokens) == 10  # type: ignore[arg-type]


def test_a_module_takes_the_trained_mask_token_for_each_kind(vjepa2: VJEPA, reference_file: Write) -> None:
    path = reference_file(vjepa2, "vjepa2")
    module = VJEPA.from_pretrained(path, heads=3, predictor_heads=4, image_size=32, num_frames=8)
    first = vjepa2.predictor.mask_tokens[0]
    assert all(torch.equal(token, first) for token in module.predictor.mask_tokens)
    assert module.hparams["rope_style"] == "vjepa2"


def test_a_table_is_computed_or_interpolated_for_another_size(ijepa: IJEPA, reference_file: Write) -> None:
    path = reference_file(ijepa, "ijepa")
    network, report = load_reference(path, heads=3, image_size=(32, 64))
    assert torch.equal(network.pos_embed[0], sincos_pos_embed(48, (4, 8)))
    assert "computed for the grid 4x8, that of the file is for 4x4" in report.reshaped["pos_embed"]
    content = torch.load(path, weights_only=True)
    content["target_encoder"]["module.pos_embed"] = torch.arange(16.0).reshape(1, 16, 1).expand(1, 16, 48).clone()
    torch.save(content, path)
    network, report = load_reference(path, heads=3, image_size=64)
    assert "interpolated" in report.reshaped["pos_embed"]
    assert not torch.allclose(network.pos_embed[0], sincos_pos_embed(48, (8, 8)))
    assert abs(float(network.pos_embed.mean()) - 7.5) < 0.1
    _, report = load_reference(path, heads=3)
    assert "up to" in report.notes[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target_encoder": None}, "its entry target_encoder holds no weights"),
        ({"surprise": 3}, "it holds 'surprise', which no file of the reference has"),
        ({"target_encoder": {"module.a": 3}}, "module.a is not a tensor"),
        ({"target_encoder": {"module.a": torch.ones(2)}}, "no Vision Transformer of the reference"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    change: dict[str, Any], said: str, ijepa: IJEPA, reference_file: Write
) -> None:
    with pytest.raises(ValueError, match=said):
        load_reference(reference_file(ijepa, "ijepa", **change), heads=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("module.norm.bias"), r"it lacks norm\.bias"),
        (lambda state: state.update({"module.new": torch.ones(1)}), r"it has, beyond what the network takes, new"),
        (lambda state: state.update({"module.norm.bias": torch.ones(3)}), r"norm\.bias \[3\] for \[48\]"),
        (lambda state: state["module.norm.bias"].fill_(torch.nan), r"48 values of norm\.bias are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[..., Any], said: str, ijepa: IJEPA, reference_file: Write
) -> None:
    path = reference_file(ijepa, "ijepa")
    content = torch.load(path, weights_only=True)
    change(content["target_encoder"])
    torch.save(content, path)
    with pytest.raises(ValueError, match=said):
        load_reference(path, heads=3)


def test_a_missing_entry_and_a_wrong_one_are_named(ijepa: IJEPA, tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    torch.save({"predictor": ijepa.predictor.state_dict()}, path)
    with pytest.raises(ValueError, match=r"has no target_encoder: it has predictor. Give which='predictor'"):
        load_reference(path)
    with pytest.raises(ValueError, match=r"there is no entry 'teacher': choose one of target_encoder"):
        load_reference(path, "teacher")  # type: ignore[arg-type]
    torch.save({"target_encoder": ijepa.target_encoder.state_dict()}, path)
    with pytest.raises(ValueError, match=r"of width 48 and 2 blocks is no known size.*give heads"):
        load_reference(path)


def test_a_file_that_has_the_name_of_another_model(ijepa: IJEPA, reference_file: Write) -> None:
    path = reference_file(ijepa, "ijepa").rename(Path(reference_file(ijepa, "ijepa").parent, "vith.pt"))
    network, _ = load_reference(path, heads=3)
    assert network.input_size == (32, 32)
    assert network.rope is None


def test_which_version_a_file_is_of(vjepa: VJEPA, vjepa2: VJEPA, reference_file: Write, tmp_path: Path) -> None:
    content = torch.load(reference_file(vjepa, "vjepa"), weights_only=True)
    torch.save({"encoder": content["encoder"]}, tmp_path / "unclear.pt")
    with pytest.raises(ValueError, match=r"may be of V-JEPA, .* give family='vjepa' or family='vjepa2'"):
        load_reference(tmp_path / "unclear.pt", "encoder", heads=3)
    network, _ = load_reference(tmp_path / "unclear.pt", "encoder", heads=3, family="vjepa", num_frames=8)
    assert network.rope is None
    with pytest.raises(ValueError, match=r"is a model of vjepa: load it with VJEPA"):
        IJEPA.from_pretrained(reference_file(vjepa, "vjepa"), heads=3)
