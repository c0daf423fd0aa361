import torch
from torch import nn

from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.optim.groups import parameter_groups


def networks() -> dict[str, nn.Module]:
    return {
        "encoder": VisionTransformer(image_size=8, patch_size=4, width=16, depth=2, heads=2),
        "predictor": Predictor((2, 2), encoder_width=16, width=8, depth=1, heads=2),
    }


def test_groups_come_in_the_order_of_the_reference():
    groups = parameter_groups(networks(), 0.04)
    assert [g["name"] for g in groups] == ["encoder", "predictor", "encoder-no_decay", "predictor-no_decay"]
    assert [g["weight_decay"] for g in groups] == [0.04, 0.04, 0.0, 0.0]
    assert [g["decay"] for g in groups] == [True, True, False, False]


def test_groups_hold_every_trainable_parameter_once_and_biases_and_norms_are_not_decayed():
    modules = networks()
    modules["encoder"].blocks[0].requires_grad_(False)
    groups = parameter_groups(modules, 0.04)
    decay_of = {id(p): g["decay"] for g in groups for p in g["params"]}
    assert sum(len(g["params"]) for g in groups) == len(decay_of)
    for module in modules.values():
        for name, parameter in module.named_parameters():
            frozen = module is modules["encoder"] and name.startswith("blocks.0.")
            plain = name.endswith(("bias", "norm1.weight", "norm2.weight", "norm.weight"))
            assert decay_of.get(id(parameter)) == (None if frozen else not plain), name
    assert decay_of[id(modules["predictor"].mask_token)]


def test_scalars_are_not_decayed_and_empty_groups_are_left_out():
    class Temperature(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert [g["name"] for g in parameter_groups({"t": Temperature(), "frozen": frozen}, 0.1)] == ["t-no_decay"]
