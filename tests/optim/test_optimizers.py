import math

import pytest
import torch
from torch import nn

from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.optim.groups import parameter_groups
from jepa_lightning.optim.optimizers import create_optimizer


def networks() -> dict[str, nn.Module]:
    return {
        "encoder": VisionTransformer(image_size=8, patch_size=4, width=16, depth=2, heads=2),
        "predictor": Predictor((2, 2), encoder_width=16, width=8, depth=1, heads=2),
    }


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("AdamW", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_optimizer_by_name_takes_the_groups_as_they_are(name, kind):
    groups = parameter_groups(networks(), 0.04)
    members = [[id(p) for p in g["params"]] for g in groups]
    optimizer = create_optimizer(groups, name, 3e-4)
    assert isinstance(optimizer, kind)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.04, 0.04, 0.0, 0.0]
    assert [g["decay"] for g in optimizer.param_groups] == [True, True, False, False]
    assert all(g["lr"] == 3e-4 for g in optimizer.param_groups)
    assert [[id(p) for p in g["params"]] for g in optimizer.param_groups] == members


def test_betas_reach_the_optimizer_and_are_refused_where_there_are_none():
    def betas_of(**options):
        return create_optimizer(parameter_groups(networks(), 0.04), "adamw", 1e-3, **options).param_groups[0]["betas"]

    assert betas_of(betas=(0.9, 0.95)) == (0.9, 0.95)
    assert betas_of() == (0.9, 0.999)
    with pytest.raises(ValueError, match="'sgd' takes no betas"):
        create_optimizer(parameter_groups(networks(), 0.04), "sgd", 1e-3, betas=(0.9, 0.95))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"momentum": 0.8, "nesterov": False}),
        ("lars", {"momentum": 0.7, "trust_coeff": 0.003}),
        ("adamw", {"eps": 1e-6, "amsgrad": True}),
    ],
)
def test_further_options_reach_the_optimizer(name, options):
    optimizer = create_optimizer(parameter_groups(networks(), 0.04), name, 0.1, options=options)
    assert len(optimizer.param_groups) == 4
    for group in optimizer.param_groups:
        assert {option: group[option] for option in options} == options
        assert group["lr"] == 0.1
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.04, 0.04, 0.0, 0.0]


@pytest.mark.parametrize("options", [{"momentum": 2.0}, {"momentum": -0.1}, {"eps": math.nan}, {"momentum": "much"}])
def test_an_option_out_of_range_is_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"optimizer 'sgd': {name}=.* is out of range: give a number in \["):
        create_optimizer(parameter_groups(networks(), 0.04), "sgd", 1e-3, options=options)


def test_options_stand_beside_betas_and_none_are_the_optimizers_own():
    def group_of(**given):
        return create_optimizer(parameter_groups(networks(), 0.04), "adamw", 1e-3, **given).param_groups[0]

    both = group_of(betas=(0.9, 0.95), options={"eps": 1e-6})
    assert (both["betas"], both["eps"]) == ((0.9, 0.95), 1e-6)
    own = torch.optim.AdamW([torch.zeros(1)]).defaults["eps"]
    assert group_of(options={})["eps"] == group_of(options=None)["eps"] == group_of()["eps"] == own


@pytest.mark.parametrize(
    ("name", "options", "unknown"),
    [
        ("sgd", {"momentun": 0.8}, "momentun"),
        ("adamw", {"trust_coeff": 0.001}, "trust_coeff"),
        ("lars", {"trust_coeff": 0.001, "beta": 1}, "beta"),
        ("adamw", {"lr": 1.0}, "lr"),
    ],
)
def test_an_option_that_the_optimizer_does_not_take_is_named_in_one_line(name, options, unknown):
    with pytest.raises(
        ValueError, match=rf"optimizer '{name}' does not take the optimizer_options .*'{unknown}'\.$"
    ) as caught:
        create_optimizer(parameter_groups(networks(), 0.04), name, 1e-3, options=options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["AdmW", "x_adamw"])
def test_unknown_optimizer_names_near_ones(name):
    with pytest.raises(ValueError, match=rf"no optimizer '{name}': did you mean .*adamw"):
        create_optimizer([], name, 1e-3)


def test_unknown_optimizer_without_near_ones_points_to_the_list():
    with pytest.raises(ValueError, match="list_optimizers"):
        create_optimizer([], "qqqqqq", 1e-3)


def test_flat_pieces_of_matrices_are_decayed_and_only_go_with_optimizers_that_do_not_look_at_the_whole() -> None:
    network = nn.Linear(2, 2)
    for parameter in network.parameters():
        parameter.axes = parameter.ndim
        parameter.data = parameter.data.flatten()[:1]
    groups = parameter_groups({"encoder": network}, 0.04)
    assert [(group["name"], len(group["params"])) for group in groups] == [("encoder", 1), ("encoder-no_decay", 1)]
    assert groups[0]["params"][0] is network.weight
    create_optimizer(groups, "adamw", lr=0.1)
    with pytest.raises(ValueError, match=r"'lars' looks at whole weights.*use strategy fsdp2"):
        create_optimizer(groups, "lars", lr=0.1)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("adamw", {}, True),
        ("Adam", {}, True),
        ("adamw", {"fused": False}, False),
        ("adamw", {"foreach": True}, None),
        ("sgd", {}, None),
    ],
)
def test_the_fused_kernel_of_adam_is_taken_where_nothing_else_is_asked_for(name, options, expected):
    optimizer = create_optimizer(parameter_groups(networks(), 0.04), name, 1e-3, options=options)
    assert {group["fused"] for group in optimizer.param_groups} == {expected}
    plain = create_optimizer(parameter_groups(networks(), 0.04), name, 1e-3, options=options, fused=False)
    assert {group["fused"] for group in plain.param_groups} == {options.get("fused")}


def test_the_fused_kernel_is_the_loop_up_to_rounding():
    found = []
    for fused in (True, False):
        torch.manual_seed(0)
        weights = nn.Linear(16, 16)
        optimizer = create_optimizer(parameter_groups({"all": weights}, 0.1), "adamw", 1e-2, fused=fused)
        for _ in range(10):
            weights(torch.randn(4, 16)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        found.append(weights.weight.detach())
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


def test_a_fused_kernel_resumes_from_a_checkpoint_of_the_loop():
    def step(optimizer: torch.optim.Optimizer, weights: nn.Module) -> None:
        weights(torch.ones(4, 16)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    ends = []
    for fused in (False, True):
        torch.manual_seed(0)
        weights = nn.Linear(16, 16)
        optimizer = create_optimizer(parameter_groups({"all": weights}, 0.1), "adamw", 1e-2, fused=False)
        step(optimizer, weights)
        again = create_optimizer(parameter_groups({"all": weights}, 0.1), "adamw", 1e-2, fused=fused)
        again.load_state_dict(optimizer.state_dict())
        step(again, weights)
        ends.append(weights.weight.detach())
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-5)
