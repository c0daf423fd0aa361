import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import TokenPCA


def told(recwarn):
    return [str(each.message) for each in recwarn if "TokenPCA" in str(each.message)]


def test_tokens_that_are_alike_have_one_color(fit, tiny_ijepa, pixels):
    class Halves(IJEPA):
        """Tokens that tell the upper half of the grid from the lower one, and nothing else."""

        def forward(self, x, layers=None, pool=True):
            tokens = torch.zeros(len(x), 16, 48)
            tokens[:, :8, 3] = 5.0
            return tokens.mean(1) if pool else tokens

    fit(TokenPCA(), module=tiny_ijepa(Halves), max_steps=1)
    sheet = pixels("step_000000/token_pca.png")[-12 - 104 - 96 : -12 - 104, -12 - 96 : -12]
    upper, lower = ({tuple(color) for color in half.reshape(-1, 3)} for half in (sheet[:48], sheet[48:]))
    # one component, half a unit above and below: red one way or the other
    assert len(upper) == len(lower) == 1
    ((red, green, blue),), (other,) = upper, lower
    assert abs(int(red) - int(other[0])) == pytest.approx(127.5, abs=1)
    assert (green, blue) == tuple(other[1:]) == (128, 128)
    # all images have the same there
    content = pixels("step_000000/token_pca.png")[-12 - 96 : -12, -12 - 96 : -12]
    assert {tuple(color) for color in content.reshape(-1, 3)} == {(128, 128, 128)}


def test_content_is_what_is_left_without_the_mean_of_a_position(fit, tiny_ijepa, pixels):
    class Marked(IJEPA):
        """Tokens of two images in a row differ at one place alone, and positions differ much more."""

        def forward(self, x, layers=None, pool=True):
            tokens = torch.zeros(len(x), 16, 48)
            tokens[..., 0] = torch.arange(16.0)
            tokens[1::2, 5, 1] = 0.5
            return tokens.mean(1) if pool else tokens

    fit(TokenPCA(), module=tiny_ijepa(Marked), max_steps=1)
    sheet = pixels("step_000000/token_pca.png")
    odd, even = (sheet[-12 - 96 : -12, -12 - 96 - left : len(sheet[0]) - 12 - left] for left in (0, 104))
    found = [{tuple(color) for color in item[24:48, 24:48].reshape(-1, 3)} for item in (odd, even)]
    assert sorted(found, key=str) == [{(0, 128, 128)}, {(255, 128, 128)}]
    rest = odd.copy()
    rest[24:48, 24:48] = 128
    assert (rest == 128).all()


def test_colors_stay_from_step_to_step(fit, tiny_ijepa, pixels):
    class Turning(IJEPA):
        """Tokens whose directions change at each look, as signs and order of components may."""

        def forward(self, x, layers=None, pool=True):
            tokens = super().forward(x, layers, pool)
            if not pool:
                draw = torch.Generator().manual_seed(self.looks)
                self.looks += 1
                tokens = tokens @ torch.linalg.qr(torch.randn(48, 48, generator=draw))[0]
            return tokens

    module = tiny_ijepa(Turning, lr=1e-9, start_lr=1e-9, final_lr=0.0)
    module.looks = 0
    fit(TokenPCA(1), module=module)
    assert module.looks == 3
    first, *later = (pixels(f"step_00000{step}/token_pca.png")[30:].astype(int) for step in range(3))
    assert all(abs(sheet - first).max() <= 2 for sheet in later)


def test_a_resumed_run_draws_the_same_colors(fit, tmp_path, pixels):
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    options = {"max_steps": 4, "max_epochs": -1, "enable_checkpointing": True}
    fit(whole := TokenPCA(1), keep, **options)
    sheet = pixels("step_000004/token_pca.png")
    resumed = TokenPCA(1)
    fit(resumed, ckpt_path=tmp_path / "step=2.ckpt", **options, default_root_dir=tmp_path / "pictures" / "again")
    assert np.array_equal(sheet, pixels("again/pictures/step_000004/token_pca.png"))
    first, second = (callback.state_dict()["scores"] for callback in (whole, resumed))
    assert first.keys() == second.keys() == {"tokens", "content"}
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("number", [1, 8])
def test_any_module_is_drawn_whose_network_gives_a_map(quiet_trainer, pictures, pixels, number, plain):
    callback = TokenPCA(features="backbone", num_images=number)
    quiet_trainer(callbacks=[callback], max_steps=1).fit(plain.Plain(), *plain.loaders())
    assert pictures() == ["step_000000/token_pca.png", "step_000001/token_pca.png"]
    # 4 x 4 places on 8 x 8 pixels
    tokens = pixels("step_000000/token_pca.png")[-12 - 96 : -12, -12 - 96 : -12]
    assert number == 1 or np.array_equal(tokens, tokens[::24, ::24].repeat(24, 0).repeat(24, 1))


def test_a_network_that_gives_no_tokens_is_one_line(quiet_trainer, recwarn, plain):
    class Pools(plain.Plain):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(self.backbone, nn.AdaptiveAvgPool2d(1), nn.Flatten())

        def loss(self, batch):
            return self.head(self.backbone(batch[0])).square().mean()

    trainer = quiet_trainer(callbacks=[TokenPCA(features="backbone")], max_steps=1)
    trainer.fit(Pools(), *plain.loaders())
    assert trainer.global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("TokenPCA on Pools: features='backbone': tokens are [B, N, D]")
    assert line.endswith(" It draws nothing from here on.")


def test_features_that_are_not_finite_are_one_line(quiet_trainer, recwarn, pictures, plain):
    class Broken(plain.Plain):
        def __init__(self):
            super().__init__()
            self.twin = nn.Sequential(nn.Conv2d(3, 8, 2, 2))
            nn.init.constant_(self.twin[0].bias, torch.nan)

    trainer = quiet_trainer(callbacks=[TokenPCA(features="twin")], max_steps=1)
    trainer.fit(Broken(), *plain.loaders())
    assert trainer.global_step == 1
    assert told(recwarn) == [
        "TokenPCA: the features are not finite: lower the learning rate, or look at the data. It draws nothing from "
        "here on."
    ]
    assert pictures() == []
