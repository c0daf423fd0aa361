"""A start from networks in the form of the reference, or of a kind that is translated to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS, HuggingFaceViT
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.start_reference import reference_for, start_from_reference_
from jepa_lightning.nn import MaskedConvNet, TimmViT

HELD = HuggingFaceViT({"cls_token": torch.ones(1), "pos_embed": torch.ones(1, 17, 4)}, {}, (32, 32), 8, 3, 1e-6, {})


@pytest.fixture
def held(ijepa: IJEPA) -> Callable[..., Reference]:
    """The networks of a module in the form of a file."""

    def build(**others: Any) -> Reference:
        parts = {"encoder": "context_encoder", "target_encoder": "target_encoder", "predictor": "predictor"}
        networks = {name: dict(getattr(ijepa, ours).state_dict()) for name, ours in parts.items()}
        return Reference("file", Path("file"), "ijepa", networks, **others)

    return build


@pytest.fixture
def module(ijepa: IJEPA) -> IJEPA:
    return IJEPA(**dict(ijepa.hparams))


def test_all_networks_are_taken(ijepa: IJEPA, module: IJEPA, held: Callable[..., Reference]) -> None:
    report = LoadReport("given")
    reference = held(heads=3, predictor_heads=3)
    start_from_reference_(module, reference, report)
    state = ijepa.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert sorted(report.loaded) == sorted(state)
    assert reference.source == "given"  # as it was given, for messages


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"heads": 4}, r"^given has 4 attention heads in its context_encoder, and IJEPA has 3 here: give heads=4\.$"),
        ({"predictor_heads": 2}, r"has 2 attention heads in its predictor, .* 3 here: give predictor_heads=2\.$"),
    ],
)
def test_other_heads_are_refused(
    others: dict[str, Any], said: str, module: IJEPA, held: Callable[..., Reference]
) -> None:
    with pytest.raises(NotLikeError, match=said):
        start_from_reference_(module, held(**others), LoadReport("given"))


def test_heads_of_a_predictor_that_is_not_there_do_not_count(module: IJEPA, held: Callable[..., Reference]) -> None:
    reference = held(predictor_heads=2)
    del reference.networks["predictor"]
    report = LoadReport("given")
    start_from_reference_(module, reference, report)
    assert "the predictor starts anew, since the file has none for this module" in report.notes


def test_an_encoder_without_attention_has_no_heads_to_compare(held: Callable[..., Reference]) -> None:
    network = MaskedConvNet(32, widths=(24,), depths=(1,), stem=8)
    module = IJEPA(encoder=network, image_size=32, predictor_depth=1, predictor_dim=24, predictor_heads=3, min_keep=2)
    with pytest.raises(ValueError, match=r"blocks\.0\..*"):  # it is refused for its weights
        start_from_reference_(module, held(heads=3), LoadReport("given"))


def test_the_eps_of_the_norms_is_taken(ijepa: IJEPA, module: IJEPA, held: Callable[..., Reference]) -> None:
    report = LoadReport("given")
    start_from_reference_(module, held(eps=0.01), report)
    assert module.norm_eps == 0.01
    assert "norms have eps=0.01 as there" in report.notes
    other = IJEPA(**{**dict(ijepa.hparams), "norm_eps": 1e-5})
    with pytest.raises(NotLikeError, match="given: "):
        start_from_reference_(other, held(eps=0.01), LoadReport("given"))


def test_a_module_of_another_kind_is_refused(held: Callable[..., Reference]) -> None:
    pair = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8)
    with pytest.raises(ValueError, match=r"^given is a model of ijepa: load it with IJEPA\.from_pretrained\.$"):
        start_from_reference_(pair, held(), LoadReport("given"))


@pytest.mark.parametrize("kind", VIT_KINDS)
def test_a_vision_transformer_is_taken_by_an_encoder_of_images_alone(
    kind: str, module: IJEPA, vjepa: VJEPA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepa_lightning.interop.start_reference.open_vit", lambda folder: HELD)
    reference = reference_for(module, Path("given"), {"model_type": kind})
    assert reference.networks["encoder"].keys() == {"pos_embed"}
    pair = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8)
    options = {"embed_dim": 24, "depth": 1, "num_heads": 3, "patch_size": 8}
    on_timm = IJEPA(
        encoder=TimmViT("vit_tiny_patch16_224", (32, 32), options=options), image_size=32, predictor_depth=1,
        predictor_dim=24, min_keep=1,
    )  # fmt: skip
    for other in (vjepa, pair, on_timm):
        said = rf"^given is a {kind}, and {type(other).__name__} has no encoder for it here: choose one of its size"
        with pytest.raises(NotLikeError, match=said):
            reference_for(other, Path("given"), {"model_type": kind})


def test_other_sources_are_files_of_the_reference(module: IJEPA, ijepa: IJEPA, reference_file: Any) -> None:
    path = reference_file(ijepa, "ijepa")
    assert reference_for(module, path, {}).family == "ijepa"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        reference_for(module, "none.pt", {"model_type": "ijepa"})
