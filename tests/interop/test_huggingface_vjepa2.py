"""V-JEPA 2 in the form of `transformers`: its configuration, and what has no such form."""

from typing import Any

import pytest
import torch

from jepa_lightning import VJEPA
from jepa_lightning.interop.huggingface import vjepa2_weights
from jepa_lightning.interop.huggingface_vjepa2 import transformers_vjepa2
from jepa_lightning.nn import AttentiveClassifier

SIZE = {
    "encoder": "vit_tiny", "width": 24, "depth": 2, "heads": 2, "patch_size": 8, "image_size": 32, "num_frames": 8,
    "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 4, "min_keep": 2, "rope": True,
    "rope_style": "vjepa2",
}  # fmt: skip


def small(**options: Any) -> VJEPA:
    return VJEPA(**{**SIZE, **options})  # type: ignore[arg-type]


def test_the_configuration_is_that_of_the_networks() -> None:
    module = small(in_channels=2, mean=(0, 0), std=(1, 1))
    form = transformers_vjepa2(module, module.target_encoder, None)
    assert form.name == "VJEPA2Model"
    assert form.config == {
        "model_type": "vjepa2", "crop_size": 32, "frames_per_clip": 8, "tubelet_size": 2, "in_chans": 2,
        "mlp_ratio": 4.0, "pred_hidden_size": 24, "pred_num_attention_heads": 4, "pred_num_hidden_layers": 1,
        "pred_num_mask_tokens": 2, "pred_mlp_ratio": 4.0, "drop_path_rate": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("which", ["context_encoder", "target_encoder"])
def test_all_weights_of_an_encoder_and_the_predictor_go_and_come_back(which: str) -> None:
    module = small()
    module.context_encoder.norm.bias.data.fill_(0.5)
    form = transformers_vjepa2(module, getattr(module, which), None)
    encoder, predictor = vjepa2_weights(form.state)
    for found, network in ((encoder, getattr(module, which)), (predictor, module.predictor)):
        state = network.state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in found.items())


def probe(**options: Any) -> AttentiveClassifier:
    return AttentiveClassifier(24, 3, **{"depth": 4, "heads": 2, "generation": 2, "eps": 1e-6, **options})


def test_a_probe_is_a_classifier_on_top() -> None:
    module = small()
    form = transformers_vjepa2(module, module.target_encoder, probe())
    assert form.name == "VJEPA2ForVideoClassification"
    assert form.config["num_pooler_layers"] == 3
    assert form.config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert form.config["label2id"] == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    starts = {name.partition(".")[0] for name in form.state}
    assert starts == {"vjepa2", "pooler", "classifier"}


@pytest.mark.parametrize("options", [{"generation": 1, "depth": 1}, {"eps": 1e-5}])
def test_a_probe_of_another_kind(options: dict[str, Any]) -> None:
    module = small()
    with pytest.raises(ValueError, match=r"^its probe is not of generation=2 and eps=1e-06$"):
        transformers_vjepa2(module, module.target_encoder, probe(**options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rope_style": "exact"}, "its rope_style is exact"),
        ({"rope": False, "rope_style": "exact"}, "it adds its positions to clips"),
        ({"registers": 2}, "its encoder has register tokens"),
        ({"image_size": (32, 48)}, "its frames are no squares"),
        ({"num_frames": 1}, "it rotates in images"),
        ({"rope_style": "exact", "rope_grid": 16}, r"it has what V-JEPA 2\.1 has beyond V-JEPA 2"),
        ({"rope_style": "exact", "rope_grid": 16, "levels": (0, 1)}, r"it has what V-JEPA 2\.1 has"),
    ],
)
def test_what_transformers_has_not(options: dict[str, Any], said: str) -> None:
    module = small(**options)
    with pytest.raises(ValueError, match=rf"^{said}.*: (convert to|set) "):
        transformers_vjepa2(module, module.target_encoder, None)


def test_a_predictor_of_ones_own_that_shares_its_attention() -> None:
    module = small()
    module.predictor.attention = "shared"
    with pytest.raises(ValueError, match=r"^its predictor_attention is shared, .*: convert to safetensors$"):
        transformers_vjepa2(module, module.target_encoder, None)
