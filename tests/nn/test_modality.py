from typing import Any

import pytest
import torch

from jepa_lightning.nn import Predictor, VisionTransformer


def tiny(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    shape = {"image_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 3, "num_frames": 4}
    model = VisionTransformer(**{**shape, "images": True, **options})
    with torch.no_grad():
        for embedding in (model.img_mod_embed, model.video_mod_embed):
            embedding.add_(torch.randn_like(embedding))
    return model.eval()


@pytest.mark.parametrize("rope", [None, "exact"])
def test_images_and_clips_have_an_embedding_of_their_own(rope: Any) -> None:
    model, images, clips = tiny(rope=rope), torch.randn(2, 3, 32, 32), torch.randn(2, 3, 4, 32, 32)

    def blocks(tokens: torch.Tensor) -> torch.Tensor:
        number = tokens.shape[1]
        table = None if rope is None else model.rope_table[:, :number]
        tokens = tokens + model.pos_embed[:, :number] if rope is None else tokens
        for block in model.blocks:
            tokens = block(tokens, table)
        return model.norm(tokens)

    of_images = torch.nn.functional.conv2d(
        images, model.patch_embed_img.proj.weight[:, :, 0], model.patch_embed_img.proj.bias, stride=8
    )
    expected = blocks(of_images.flatten(2).transpose(1, 2) + model.img_mod_embed)
    torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(model(images), model(images[:, :, None]))  # one frame is an image
    torch.testing.assert_close(model(clips), blocks(model.patch_embed(clips) + model.video_mod_embed))
    assert model(images).shape == (2, 16, 48)
    assert model(clips).shape == (2, 32, 48)


@pytest.mark.parametrize("size", [(1, 32, 32), (4, 32, 32)])
def test_every_parameter_has_a_gradient_and_that_of_the_other_modality_is_0(size: tuple[int, ...]) -> None:
    model = tiny()
    model(torch.randn(2, 3, *size)).square().sum().backward()
    none = {name for name, each in model.named_parameters() if not each.grad.any()}
    own, other = ("patch_embed_img", "patch_embed") if size[0] == 1 else ("patch_embed", "patch_embed_img")
    assert none == {
        f"{other}.proj.weight",
        f"{other}.proj.bias",
        "video_mod_embed" if size[0] == 1 else "img_mod_embed",
    }
    assert model.get_submodule(own).proj.weight.grad.any()


def test_what_is_unused_changes_no_bit_of_the_features() -> None:
    model, clips = tiny(), torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        without = model(clips)
    assert torch.equal(model(clips), without)


def test_the_predictor_tells_modalities_apart_and_all_its_mask_tokens_have_gradients() -> None:
    torch.manual_seed(0)
    model = Predictor((2, 4, 4), 48, 24, 1, 3, num_mask_tokens=2, images=True, context_head=True, num_levels=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    context, index, target = torch.randn(2, 3, 96), torch.tensor([[0, 3, 9]] * 2), torch.tensor([[[1, 2]]] * 2)
    of_image, of_clip = (model(context, index, target, image=image) for image in (True, False))
    assert of_image.shape == (2, 1, 2, 96)
    assert (of_image - of_clip).abs().max() > 1e-3
    predicted, seen = model(context, index, target, with_context=True)
    # with the context, products have more rows, which may round in another way
    torch.testing.assert_close(predicted, of_clip)
    assert seen.shape == (2, 1, 3, 96)
    (predicted.square().sum() + seen.square().sum()).backward()
    none = {name for name, each in model.named_parameters() if not each.grad.any()}
    assert none == {"mask_tokens.1", "img_mod_embed"}


def test_an_encoder_of_images_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="images=True needs num_frames > 1"):
        VisionTransformer(32, 8, 48, 1, 3, images=True)
