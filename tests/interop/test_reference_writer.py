"""What a module is as a checkpoint of the reference, and what has no such form."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.checkpoints import OPTIMIZERS
from jepa_lightning.interop.reference_writer import reference_content, write_reference
from jepa_lightning.nn import TimmViT

SIZE = {"width": 24, "depth": 1, "heads": 3, "patch_size": 8, "image_size": 32}
SMALL = {**SIZE, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 1}
LIGHTNING = {"pytorch-lightning_version": "2.6.0"}


def small(cls: Any = IJEPA, **options: Any) -> Any:
    return cls(**{"encoder": "vit_tiny", **SMALL, **options})


def test_networks_have_the_prefixes_of_their_wrappers(ijepa: IJEPA, vjepa: VJEPA) -> None:
    for module, prefix in ((ijepa, "module."), (vjepa, "module.backbone.")):
        content = reference_content(module)
        assert list(content)[:3] == ["encoder", "predictor", "target_encoder"]
        own = {
            "encoder": module.context_encoder,
            "predictor": module.predictor,
            "target_encoder": module.target_encoder,
        }
        for name, network in own.items():
            state = network.state_dict()
            assert {key.removeprefix(prefix) for key in content[name]} == set(state)
            assert all(torch.equal(value, state[key.removeprefix(prefix)]) for key, value in content[name].items())
            assert all(key.startswith(prefix) and not value.requires_grad for key, value in content[name].items())
        rest = {key: content[key] for key in list(content)[3:]}
        assert rest == {
            "opt": None, "scaler": None, "epoch": 0, "loss": 0.0, "batch_size": 0, "world_size": 1, "lr": 0.0,
        }  # fmt: skip


def test_a_predictor_of_clips_is_in_the_order_of_the_reference(vjepa: VJEPA) -> None:
    names = [name.removeprefix("module.backbone.") for name in reference_content(vjepa)["predictor"]]
    assert names[:4] == ["predictor_pos_embed", "predictor_embed.weight", "predictor_embed.bias", "mask_tokens.0"]
    assert list(vjepa.predictor.state_dict())[:2] != names[:2]


CLIP = {"cls": VJEPA, "num_frames": 4, "rope": True}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "exact positions": ({**CLIP, "rope_style": "exact"}, "rotates in the style vjepa2, and this module's is exact"),
    "registers": ({"registers": 2}, "has no register tokens"),
    "convolutions": (
        {"patch_embedding": "convolutional", "patch_size": 4},
        "has no patch_embedding but the linear one",
    ),
    "attention": ({"predictor_attention": "shared"}, "no predictor_attention like shared"),
    "eps": ({"norm_eps": 1e-5}, "has norms with eps=1e-06, and this module's have 1e-05: convert to hf"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_reference_has_not(case: str, tmp_path: Path) -> None:
    options, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        write_reference(small(**options), tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_is_timms(tmp_path: Path) -> None:
    options = {"embed_dim": 24, "depth": 1, "num_heads": 3, "patch_size": 8}
    network = TimmViT("vit_tiny_patch16_224", (32, 32), options=options)
    module = IJEPA(encoder=network, image_size=32, predictor_depth=1, predictor_dim=24, min_keep=1)
    with pytest.raises(
        ValueError, match=r"has no encoder like the TimmViT of IJEPA: convert to safetensors, or to timm"
    ):
        write_reference(module, tmp_path / "a.pt")


def test_a_method_without_such_networks(tmp_path: Path) -> None:
    module = SimCLR("vit_tiny", depth=1, image_size=16, patch_size=8)
    with pytest.raises(ValueError, match=r"has no model like SimCLR, which has no encoder: convert to safetensors"):
        write_reference(module, tmp_path / "a.pt")


@pytest.mark.parametrize(("network", "name"), [("context_encoder", "encoder"), ("predictor", "predictor")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_written(network: str, name: str, value: float, tmp_path: Path) -> None:
    module = small()
    next(getattr(module, network).parameters()).data.flatten()[0] = value
    with pytest.raises(ValueError, match=rf"cannot use the {name} of IJEPA: 1 values of .* are not finite"):
        write_reference(module, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_no_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        write_reference(small(), tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, None),
        ("facebook/none", None),
        ({"encoder": {}}, None),  # not of this package
        ({**LIGHTNING, "state_dict": {}}, None),  # weights alone
        (
            {**LIGHTNING, "state_dict": {}, "optimizer_states": [{}], OPTIMIZERS: ["LARS", "SGD"]},
            "the reference has AdamW, and the checkpoint LARS, SGD",
        ),
        (
            {**LIGHTNING, "state_dict": {}, "optimizer_states": [{}]},
            "the reference has AdamW, and the checkpoint an unknown one",
        ),
    ],
    ids=["none", "no file", "another", "weights", "others", "unknown"],
)
def test_why_the_optimizer_is_left_out(source: Any, said: str | None, tmp_path: Path) -> None:
    if isinstance(source, dict):
        torch.save(source, tmp_path / "source.ckpt")
        source = str(tmp_path / "source.ckpt")
    assert write_reference(small(), tmp_path / "a.pt", source) == ({"optimizer": said} if said else {})
    assert torch.load(tmp_path / "a.pt", weights_only=True)["opt"] is None


def test_a_folder_of_weights_has_no_optimizer(ijepa: IJEPA, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    assert write_reference(ijepa, tmp_path / "a.pt", str(tmp_path / "folder")) == {}


class Headed(IJEPA):
    """A module with networks that the reference has no place for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.head = torch.nn.Linear(24, 2)
        self.alone = torch.nn.Linear(24, 2, bias=False)
        self.heads = torch.nn.ModuleList([torch.nn.Linear(24, 2), torch.nn.Linear(24, 3)])
        self.heads.deep = torch.nn.Sequential(torch.nn.Linear(2, 2))
        self.still = torch.nn.BatchNorm1d(2, affine=False)


@pytest.mark.parametrize(
    ("module", "left"),
    [
        (small(), []),
        (small(regularizer="sigreg"), []),  # without weights
        (small(regularizer="sigreg", projector_dim=16), ["regularizer.projector"]),
        (small(Headed), ["head", "alone", "heads"]),
    ],
    ids=["none", "regularizer", "projector", "own"],
)
def test_networks_that_the_reference_has_not_are_named(module: Any, left: list[str], tmp_path: Path) -> None:
    found = write_reference(module, tmp_path / "a.pt")
    assert found == dict.fromkeys(left, "the reference has no such network")
    assert list(found) == left
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert not [name for state in content.values() if isinstance(state, dict) for name in state if "head" in name]
