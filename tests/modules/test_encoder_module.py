from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from lightning.pytorch.core.mixins import HyperparametersMixin
from torch import Tensor, nn

from jepa_lightning import IJEPA, MAE, VJEPA, BarlowTwins, SimCLR
from jepa_lightning.modules.encoder_module import EncoderModule

TINY = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2, "num_targets": 2, "min_keep": 4}


def masked_loss(module: EncoderModule, size: int = 4) -> Tensor:
    """Of images with the module's channels, through its own pipeline, with gradients."""
    torch.manual_seed(0)
    pipeline = module.pipeline()
    batch = pipeline.collate([pipeline.transform(torch.rand(module.in_channels, 70, 70)) for _ in range(size)])
    assert batch.views[0].shape[1] == module.in_channels
    loss = module.objective(batch, 0.0).loss
    loss.backward()
    assert loss.isfinite()
    return loss


def test_ijepa_on_a_transformer_of_timm() -> None:
    module = IJEPA("timm:vit_tiny_patch16_224", image_size=64, pretrained=False, drop_path=0.1, **TINY)
    assert (module.grid_size, module.encoder_width, module.patch_size) == ((4, 4), 192, 16)
    masked_loss(module)
    assert module.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 192)
    assert not any(parameter.requires_grad for parameter in module.target_encoder.parameters())


def test_masks_are_of_patch_tokens_alone() -> None:
    """Class and register tokens before the patches would shift every index."""
    module = IJEPA("timm:vit_small_patch14_reg4_dinov2", image_size=70, **TINY)
    assert (module.grid_size, module.patch_size) == ((5, 5), 14)
    masks = module.masks(64)
    assert masks.context.max() == masks.target.max() == 24
    layers = module.encode_target(torch.randn(1, 3, 70, 70))
    assert layers[0].shape == (1, 25, 384)


def test_mae_and_vjepa_on_a_transformer_of_timm() -> None:
    mae = MAE(
        "timm:vit_tiny_patch16_224", image_size=64, in_channels=2, decoder_depth=1, decoder_dim=24, decoder_heads=2
    )
    masked_loss(mae)
    assert mae.decoder.predictor_proj.out_features == 2 * 16**2
    video = {key: value for key, value in TINY.items() if key != "num_targets"}
    module = VJEPA("timm:vit_tiny_patch16_224", image_size=64, num_frames=1, **{**video, "min_keep": 1})
    masked_loss(module)
    with pytest.raises(ValueError, match="timm:vit_tiny_patch16_224 takes images, and num_frames is 16"):
        VJEPA("timm:vit_tiny_patch16_224", image_size=64)


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18", "timm:vit_tiny_patch16_224", "vit_tiny"])
def test_two_view_methods_take_any_network_and_any_channels(name: str) -> None:
    with pytest.warns(UserWarning, match="color jitter and grayscale are for images of 3 channels"):
        masked_loss(SimCLR(name, image_size=64, in_channels=1))


@pytest.mark.parametrize("channels", [1, 2, 13])
def test_masked_methods_take_any_channels(tiny_ijepa: Callable[..., IJEPA], channels: int) -> None:
    module = tiny_ijepa(in_channels=channels)
    masked_loss(module)
    assert module.mean == module.std == (0.5,) * channels
    image = torch.full((channels, 32, 32), 0.25)
    torch.testing.assert_close(module.preprocess(image)[0], torch.full_like(image, -0.5))


def test_statistics_are_those_that_were_given(tiny_ijepa: Callable[..., IJEPA]) -> None:
    module = tiny_ijepa(in_channels=2, mean=[0.1, 0.2], std=[0.5, 1.0])
    view = module.preprocess(torch.full((2, 32, 32), 0.6))[0]
    torch.testing.assert_close(view[:, 0, 0], torch.tensor([1.0, 0.4]))
    assert tiny_ijepa().mean == (0.485, 0.456, 0.406)
    with pytest.raises(ValueError, match="mean has 3 numbers and in_channels is 2"):
        tiny_ijepa(in_channels=2, mean=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"std=\[0.0, 1.0\] is out of range"):
        tiny_ijepa(in_channels=2, std=[0.0, 1.0])


def test_pretrained_weights_bring_their_statistics(monkeypatch: Any) -> None:
    create, asked = timm.create_model, []

    def record(name: str, **options: Any) -> Any:
        asked.append(options["pretrained"])
        return create(name, **{**options, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", record)
    for build in (IJEPA, SimCLR):
        module = build("timm:vit_tiny_patch16_224", image_size=64, pretrained=True, **(TINY if build is IJEPA else {}))
        assert module.mean == module.std == (0.5, 0.5, 0.5)
    assert asked == [True, True]
    with pytest.raises(ValueError, match="pretrained=True is for networks of timm"):
        IJEPA("vit_tiny", image_size=64, pretrained=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 48}, "width cannot be set for timm:vit_tiny_patch16_224, which has its own"),
        ({"depth": 2, "heads": 3}, "depth and heads cannot be set for timm:vit_tiny_patch16_224"),
        ({"patch_size": 8}, "patch_size=8 cannot be set for timm:vit_tiny_patch16_224, whose patches have 16 pixels"),
        ({"target_layers": 13}, "target_layers=13 is not from 1 to the encoder's 12 blocks"),
    ],
)
def test_what_a_network_of_timm_has_itself_is_refused(options: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        IJEPA("timm:vit_tiny_patch16_224", image_size=64, **options)


class Patches(nn.Module, HyperparametersMixin):
    """A linear layer on patches, which neither sees other patches nor needs more than its protocol."""

    def __init__(self, width: int = 24, patch: int = 16, image_size: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.width, self.grid_size, self.in_channels = width, (image_size // patch,) * 2, in_channels
        self.proj = nn.Conv2d(in_channels, width, patch, patch)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        tokens = self.proj(x).flatten(2).transpose(1, 2)
        return tokens if keep is None else tokens[torch.arange(len(x))[:, None], keep]


class Unsaved(nn.Module):
    width, grid_size = 24, (4, 4)

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.inner(x, keep)


PATH = f"{Patches.__module__}.Patches"


def test_a_network_of_ones_own() -> None:
    module = IJEPA(encoder=Patches(24), image_size=64, **TINY)
    masked_loss(module)
    assert module.hparams.encoder["class_path"].endswith(".Patches")
    assert module.hparams.encoder["init_args"] == {"width": 24, "patch": 16, "image_size": 64, "in_channels": 3}
    assert "context_encoder.proj.weight" in module.state_dict()
    assert not any(name.startswith("_") for name, _ in module.named_children())
    mae = MAE(encoder=Patches(24), image_size=64, decoder_depth=1, decoder_dim=24, decoder_heads=2)
    masked_loss(mae)
    with pytest.raises(ValueError, match=r"a grid of \(8, 8\) tokens, and patches of patch_size=16 do not make one"):
        MAE(encoder=Patches(24, patch=8), image_size=64)
    masked_loss(BarlowTwins(encoder=Patches(24), image_size=64, projector_dim=32))


def test_a_network_without_hparams_trains_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"the arguments of the encoder .*\.Unsaved are not saved"):
        module = IJEPA(encoder=Unsaved(Patches(24)), image_size=64, **TINY)
    masked_loss(module)
    assert module.hparams.encoder["init_args"] is None


class Misstated(Patches):
    """Says a finer grid, or another width, than it has."""

    def __init__(self, grid_size: tuple[int, int] = (8, 8), width: int = 24) -> None:
        super().__init__()
        self.grid_size, self.width = grid_size, width


@pytest.mark.filterwarnings("ignore:the arguments of the encoder")
@pytest.mark.parametrize(
    "module",
    [
        lambda: IJEPA(encoder=Misstated(), image_size=64, **TINY),
        lambda: IJEPA(encoder=Misstated((3, 3)), image_size=64, **{**TINY, "min_keep": 1}),
        lambda: IJEPA(encoder=Misstated((4, 4), 48), image_size=64, **TINY),
        lambda: MAE(encoder=Misstated(), image_size=64, patch_size=8, decoder_depth=1, decoder_dim=8, decoder_heads=2),
    ],
    ids=["finer", "coarser", "width", "MAE"],
)
def test_an_encoder_that_misstates_its_tokens_is_named(module: Callable[[], EncoderModule]) -> None:
    pattern = r"^the encoder .*Misstated gives \[\d, 16, 24\] for \d whole views, and says grid_size=.*width\.$"
    with pytest.raises(ValueError, match=pattern):
        masked_loss(module())


class NoKeep(Patches):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


@pytest.mark.parametrize(
    ("encoder", "options", "text"),
    [
        (nn.Linear(3, 3), {}, "the encoder Linear has no width and no grid_size"),
        (NoKeep(), {}, "NoKeep.forward has no argument keep"),
        (Patches(), {"drop_path": 0.1}, "drop_path cannot be set for .*Patches: set it where the network is built"),
        (Patches(), {"width": 48}, "width cannot be set for .*Patches, which has its own"),
        (Patches(), {"target_layers": 2}, "target_layers=2, and .*Patches gives no outputs of its blocks"),
        (Patches(in_channels=2), {}, "in_channels=3, and the encoder .*Patches takes 2: set in_channels=2"),
        (
            {"class_path": "os.system", "init_args": {"command": "touch x"}},
            {},
            "os.system is not the path of an nn.Module",
        ),
        ({"class_path": "not_there.Net"}, {}, "the encoder's class not_there.Net cannot be imported"),
        ({"name": "x"}, {}, "has the keys class_path and init_args, and this one has name"),
        (Patches, {}, r"encoder is the class Patches: give a name, a network \(an instance of nn.Module\)"),
        (3, {}, "encoder is of type int: give a name"),
        ("vit_small_patch14_reg4_dinov2", {}, "did you mean timm:vit_small_patch14_reg4_dinov2"),
    ],
)
def test_what_cannot_be_an_encoder_is_refused(encoder: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        IJEPA(encoder=encoder, image_size=64, **{**TINY, **options})
