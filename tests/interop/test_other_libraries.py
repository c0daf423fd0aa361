"""Checkpoints with the keys of other libraries, built here from plain layers: the same outputs."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from jepa_lightning import BYOL, DINO, IJEPA, MoCo, SimCLR
from jepa_lightning.interop import load_pretrained


def stirred(network: Any) -> Any:
    """Values of its own for every parameter and statistic."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return network.eval()


def head(norm: bool, bias: bool = True) -> nn.Sequential:
    between = [nn.BatchNorm1d(32)] if norm else []
    return stirred(nn.Sequential(nn.Linear(512, 32, bias), *between, nn.ReLU(), nn.Linear(32, 16, bias=not norm)))


def save(path: Path, **networks: Any) -> Path:
    """As Lightning 1 saves a module, with its options in a namespace."""
    state = {}
    for prefix, network in networks.items():
        found = network.state_dict() if isinstance(network, nn.Module) else {"": network}
        state |= {f"{prefix.replace('__', '.')}.{name}".rstrip("."): value for name, value in found.items()}
    content = {"state_dict": state, "pytorch-lightning_version": "1.6.0", "epoch": 9, "global_step": 90}
    torch.save({**content, "hyper_parameters": argparse.Namespace(arch="resnet18")}, path)
    return path


@pytest.fixture(scope="module")
def resnet() -> Any:
    torch.manual_seed(0)
    return stirred(resnet18())


def pooled(network: Any, image: torch.Tensor) -> torch.Tensor:
    children = nn.Sequential(*list(network.children())[:-1])
    found: torch.Tensor = children(image).flatten(1)
    return found


@torch.no_grad()
def test_simclr_of_bolts(resnet: Any, tmp_path: Path) -> None:
    projection, image = head(norm=True), torch.randn(2, 3, 64, 64)
    path = save(tmp_path / "a.ckpt", encoder=resnet, projection__model=projection)
    module, report = load_pretrained(SimCLR, path, {"image_size": 64})
    features = pooled(resnet, image)
    torch.testing.assert_close(module(image), features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(module.projector(features), projection(features), atol=1e-4, rtol=1e-5)
    assert list(report.skipped) == []
    assert not report.notes


@torch.no_grad()
def test_byol_of_bolts_with_its_target(resnet: Any, tmp_path: Path) -> None:
    image, target = torch.randn(2, 3, 64, 64), stirred(resnet18())
    online, slow = head(norm=True, bias=False), head(norm=True, bias=False)
    predictor = stirred(nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16)))
    path = save(
        tmp_path / "a.ckpt", online_network__encoder=resnet, online_network__projector__model=online,
        target_network__encoder=target, target_network__projector__model=slow, predictor__model=predictor,
    )  # fmt: skip
    module = BYOL.from_pretrained(path, image_size=64)
    torch.testing.assert_close(module.encoder(image).mean(dim=1), pooled(resnet, image), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(module.target_encoder(image).mean(dim=1), pooled(target, image), atol=1e-5, rtol=1e-5)
    x = torch.randn(2, 512)
    for ours, theirs in ((module.projector, online), (module.target_projector, slow)):
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(module.predictor(x[:, :16]), predictor(x[:, :16]), atol=1e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("age", ["old", "new"])
def test_moco_of_bolts_with_its_queue_and_its_faults(age: str, resnet: Any, tmp_path: Path) -> None:
    query, queue, place = head(norm=False), torch.randn(16, 24), torch.tensor([3])
    if age == "new":
        path = save(
            tmp_path / "a.ckpt", encoder_q=resnet, encoder_k=resnet, head_q=query, head_k=head(norm=False),
            queue__representations=queue, queue__pointer=place,
        )  # fmt: skip
    else:
        old = resnet18()
        old.load_state_dict(resnet.state_dict())
        old.fc = query
        path = save(tmp_path / "a.ckpt", encoder_q=old, encoder_k=old, queue=queue, queue_ptr=place)
    module, report = load_pretrained(MoCo, path, {"image_size": 64})
    assert torch.equal(module.queue.keys, queue.T)
    assert int(module.queue.place) == 3
    x = torch.randn(2, 512)
    assert torch.equal(module.projector(x), query(x))
    assert torch.equal(module.target_projector(x), query(x))
    assert "never moves the head of its keys" in report.notes[-1]


@torch.no_grad()
@pytest.mark.parametrize("library", ["solo-learn", "lightly", "stable-pretraining"])
def test_backbones_of_other_libraries(library: str, resnet: Any, tmp_path: Path) -> None:
    image, other = torch.randn(2, 3, 64, 64), nn.Linear(512, 8)
    networks = {
        "solo-learn": {"backbone": resnet, "classifier": other},
        "lightly": {"backbone": nn.Sequential(*list(resnet.children())[:-1]), "projection_head__layers": other},
        "stable-pretraining": {"backbone": resnet, "projector": other},
    }[library]
    path = save(tmp_path / "a.ckpt", **networks)
    module, report = load_pretrained(SimCLR, path, {"image_size": 64})
    torch.testing.assert_close(module(image), pooled(resnet, image), atol=1e-5, rtol=1e-5)
    assert len(report.skipped) == 2
    assert report.notes == ["the projector starts anew, since that of the file is of another form"]


def test_what_has_no_place(resnet: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", encoder=resnet)
    with pytest.raises(ValueError, match=r"has a resnet18, for which IJEPA has no network"):
        IJEPA.from_pretrained(path)
    state = {f"backbone.{name}": value for name, value in resnet.state_dict().items() if not name.startswith("layer4")}
    torch.save({"state_dict": state, "pytorch-lightning_version": "1.6.0"}, path)
    with pytest.raises(ValueError, match=r"its ResNet has \(2, 2, 2, 0\) blocks"):
        DINO.from_pretrained(path)
