from typing import Any

import pytest
import timm
import torch

from jepa_lightning.nn import TimmBackbone
from jepa_lightning.nn.timm_model import create_timm_model, timm_name


def test_names_may_have_the_prefix_and_a_tag() -> None:
    assert timm_name("timm:resnet18") == timm_name("resnet18") == "resnet18"
    assert timm_name("timm:vit_small_patch14_reg4_dinov2.lvd142m") == "vit_small_patch14_reg4_dinov2.lvd142m"
    with pytest.raises(ValueError, match=r"there is no encoder 'timm:resnet19': did you mean .*resnet18"):
        timm_name("timm:resnet19")


@pytest.fixture
def asked(monkeypatch: Any) -> list[tuple[str, dict[str, Any]]]:
    """What timm is asked for; it builds without weights."""
    calls, create = [], timm.create_model

    def record(name: str, **options: Any) -> Any:
        calls.append((name, dict(options)))
        return create(name, **{**options, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", record)
    return calls


def test_weights_are_asked_of_timm_with_size_and_channels(asked: list[Any]) -> None:
    create_timm_model("timm:vit_tiny_patch16_224.augreg_in21k", (32, 32), in_channels=2, pretrained=True)
    create_timm_model("resnet18", (32, 32))
    (name, options), (plain, defaults) = asked
    assert name == "vit_tiny_patch16_224.augreg_in21k"
    assert options["pretrained"] is True
    assert (options["img_size"], options["in_chans"]) == ((32, 32), 2)
    assert plain == "resnet18"
    assert defaults == {"pretrained": False, "num_classes": 0}


def test_weights_that_cannot_be_downloaded_end_in_one_line(monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to huggingface.co\nwith more lines")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ValueError, match=r"weights of timm:resnet18 cannot be loaded .*: no route to huggingface.co$"):
        create_timm_model("timm:resnet18", (32, 32), pretrained=True)


def test_a_tag_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid pretrained tag"):
        create_timm_model("timm:resnet18.mine", (32, 32))


def test_backbones_take_other_channels() -> None:
    for name, stem in (("timm:resnet18", "cifar"), ("resnet18", "default"), ("timm:test_vit", "default")):
        model = TimmBackbone(name, (32, 32), stem=stem, in_channels=5).eval()
        with torch.no_grad():
            assert model(torch.randn(2, 5, 32, 32)).shape[0] == 2


def test_transformers_of_two_view_methods_take_two_sizes() -> None:
    model = TimmBackbone("timm:vit_tiny_patch16_224", (64, 64)).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64)).shape == (2, 16, 192)
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4, 192)
    assert model.patch == (16, 16)
    assert TimmBackbone("resnet18", (64, 64)).patch is None
