"""What a newcomer meets with weights that are damaged or of another form: one line, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.interop.hub import hub_folder
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.reading import read_weights
from jepa_lightning.interop.start import start_from_
from jepa_lightning.nn import TimmViT

Change = Callable[[Path], None]
V2_1 = {
    "width": 48, "depth": 2, "heads": 3, "patch_size": 8, "image_size": 32, "num_frames": 8, "min_keep": 2,
    "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "rope": True, "rope_grid": 16, "levels": (0, 1),
    "context_loss": 0.5,
}  # fmt: skip
TINY = {"embed_dim": 48, "depth": 1, "num_heads": 3, "patch_size": 8, "init_values": 0.3}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def written(tmp_path_factory: Any, ijepa: IJEPA, vjepa2: VJEPA) -> Path:
    """Folders of `transformers`: an I-JEPA, a V-JEPA 2, and a DINOv2."""
    place = Path(tmp_path_factory.mktemp("written"))
    small = {"image_size": 32, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 2}
    dino = IJEPA(encoder=TimmViT("vit_tiny_patch16_224", (32, 32), options=TINY), **small)  # type: ignore[arg-type]
    for name, module in (("ijepa", ijepa), ("vjepa2", vjepa2), ("dinov2", dino)):
        write_huggingface(module, place / name)
    return place


def error(capsys: Any, *arguments: str) -> str:
    """The one line that a command ends in."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code
    text = str(capsys.readouterr().err)
    assert text.startswith("jepa-lightning: error: ")
    assert text.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return text


def config(name: str, value: Any, file: str = "config.json") -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, name: value}))

    return change


def weights(name: str, value: Any) -> Change:
    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        save_file({**state, name: value}, folder / "model.safetensors")

    return change


def content(text: str) -> Change:
    return lambda folder: (folder / "model.safetensors").write_text(text) and None


PIXELS = "preprocessor_config.json"
NAN = torch.full((48,), float("nan"))


def channels(value: Any) -> Change:
    def change(folder: Path) -> None:
        config("num_channels", value)(folder)
        config("do_normalize", False, PIXELS)(folder)

    return change


def pieces(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))

    return change


LAYER = "encoder.layer.0.attention"
PATCHES = "embeddings.patch_embeddings.projection.weight"
FOLDERS: dict[str, tuple[str, Change, str]] = {
    "a page": ("ijepa", content("<html>"), "model.safetensors as weights: it is a web page"),
    "a pointer": ("ijepa", content("version https://git-lfs.github.com/spec/v1"), "it is a pointer of Git LFS"),
    "no kind": ("ijepa", config("model_type", None), "its config.json has no model_type"),
    "heads": ("ijepa", config("num_attention_heads", "x"), "its num_attention_heads is 'x', and a whole number"),
    "eps": ("dinov2", config("layer_norm_eps", None), "its layer_norm_eps is None"),
    "size": ("ijepa", config("image_size", 10**9), "its table of positions has 16 patches of 8 pixels"),
    "size of another kind": ("dinov2", config("image_size", [32]), "its image_size is [32]"),
    "no multiple": ("dinov2", config("num_attention_heads", 5), "width 48 is no multiple of 5 heads"),
    "frames": ("vjepa2", config("frames_per_clip", 0.5), "its frames_per_clip is 0.5, and a whole number"),
    "mean": ("dinov2", config("image_mean", ["a"], PIXELS), "its image_mean is ['a']"),
    "std": ("dinov2", config("image_std", [0, 0, 0], PIXELS), "its image_std is [0, 0, 0]"),
    "an eps of 400 digits": ("dinov2", config("layer_norm_eps", 10**400), "and a small number is what it should be"),
    "mean that is none": ("dinov2", config("image_mean", [float("nan")] * 3, PIXELS), "is [nan, nan"),
    "mean of 400 digits": ("dinov2", config("image_mean", [10**400] * 3, PIXELS), "its image_mean is"),
    "channels": ("dinov2", channels("x"), "its num_channels is 'x', and a whole number"),
    "a billion channels": ("dinov2", channels(10**9), "its num_channels is 1000000000, and a whole number of 1 to"),
    "class token": ("dinov2", weights("embeddings.cls_token", torch.ones(1, 1, 40)), "cls_token has the shape [1, 1"),
    "two tables": ("dinov2", weights("embeddings.position_embeddings", torch.ones(2, 17, 48)), "the shape [2, 17, 48]"),
    "no pixels": ("dinov2", weights(PATCHES, torch.ones(48, 3, 0, 0)), "has 16 patches of 0 pixels"),
    "no width": ("dinov2", weights(PATCHES, torch.ones(0, 3, 8, 8)), "its tokens a width of 0"),
    "no width of an I-JEPA": ("ijepa", weights(PATCHES, torch.ones(0, 3, 8, 8)), "no Vision Transformer of the"),
    "complex": ("dinov2", weights("layernorm.weight", torch.ones(48) * 1j), "is complex, and"),
    "8 bits": ("dinov2", weights("layernorm.weight", NAN.to(torch.float8_e5m2)), "48 values"),
    "not finite": ("dinov2", weights("layernorm.weight", NAN), "48 values of norm.weight are"),
    "a piece elsewhere": ("dinov2", pieces("../other.safetensors"), "names a piece outside of its folder"),
    "no configuration": ("dinov2", lambda path: (path / "config.json").unlink(), "no config.json"),
    "queries": ("ijepa", weights(f"{LAYER}.attention.key.bias", torch.ones(3)), "have query, key, value of several"),
    "patches": ("dinov2", weights("embeddings.patch_embeddings.projection.weight", torch.ones(3)), "of 4 axes"),
    "a number": ("vjepa2", weights("encoder.layer.0.mlp.fc1.weight", torch.tensor(1.0)), "has the shape []"),
    "mask tokens": ("vjepa2", weights("predictor.embeddings.mask_tokens", torch.tensor(1.0)), "mask_tokens has the"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder(case: str, written: Path, capsys: Any) -> None:
    name, change, said = FOLDERS[case]
    shutil.copytree(written / name, "given")
    change(Path("given"))
    assert said in error(capsys, "convert", "given", "out.ckpt", "--to", "torch")


@pytest.mark.parametrize("case", [case for case in FOLDERS if FOLDERS[case][0] == "dinov2"])
def test_a_run_that_starts_from_a_folder(case: str, written: Path) -> None:
    _, change, said = FOLDERS[case]
    shutil.copytree(written / "dinov2", "given")
    change(Path("given"))
    network = TimmViT("vit_tiny_patch16_224", (32, 32), options=TINY)
    module = IJEPA(encoder=network, image_size=32, predictor_depth=1, predictor_dim=24, min_keep=2)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        start_from_(module, "given")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size", "num_channels"])
def test_sizes_are_those_of_the_tensors(name: str, written: Path) -> None:
    """A configuration that claims more takes neither memory nor time."""
    shutil.copytree(written / "dinov2", "given")
    config(name, 10**9)(Path("given"))
    assert IJEPA.from_pretrained("given", min_keep=2).context_encoder.width == 48


def sparse(state: dict[str, Any]) -> None:
    state["module.blocks.0.mlp.fc2.weight"] = state["module.blocks.0.mlp.fc2.weight"].to_sparse()


def without_values(state: dict[str, Any]) -> None:
    state["module.norm.weight"] = state["module.norm.weight"].to("meta")


def one_number(state: dict[str, Any]) -> None:
    state["module.pos_embed"] = torch.tensor(1.0)


def far_block(state: dict[str, Any]) -> None:
    state["module.blocks.999999999.norm1.weight"] = torch.ones(48)


TENSORS = {
    sparse: "blocks.0.mlp.fc2.weight is sparse, quantized or without values",
    without_values: "norm.weight is sparse, quantized or without values",
    one_number: "pos_embed of its encoder has the shape []",
    far_block: "beyond what the network takes, blocks.999999999.norm1.weight",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("change", TENSORS, ids=lambda change: change.__name__)
def test_a_tensor_of_another_form(change: Any, ijepa: IJEPA, capsys: Any) -> None:
    state = {f"module.{name}": value for name, value in ijepa.context_encoder.state_dict().items()}
    change(state)
    torch.save({"encoder": state}, "given.pt")
    assert TENSORS[change] in error(capsys, "convert", "given.pt", "out.ckpt", "--to", "torch", "--heads", "3")


def test_a_predictor_without_a_mask_token(vjepa: VJEPA, reference_file: Any, capsys: Any) -> None:
    path = reference_file(vjepa, "vjepa")
    whole = torch.load(path, weights_only=True)
    del whole["predictor"]["module.backbone.mask_tokens.0"]
    torch.save(whole, path)
    options = ["--heads", "3", "--num_frames", "8"]
    assert "lacks mask_tokens.0" in error(capsys, "convert", str(path), "out.ckpt", "--to", "torch", *options)


@pytest.mark.parametrize("name", ["predictor_embed.0.weight", "predictor_proj.weight"])
def test_a_predictor_of_version_2_1_that_lacks_a_layer(name: str) -> None:
    module = VJEPA("vit_tiny", **V2_1)  # type: ignore[arg-type]
    predictor = {key: value for key, value in module.predictor.state_dict().items() if key != name}
    torch.save({"encoder": module.context_encoder.state_dict(), "predictor": predictor}, "given.pt")
    with pytest.raises(ValueError, match=rf"{name}|is no predictor of the reference"):
        VJEPA.from_pretrained("given.pt", heads=3, levels=(0, 1))


OPTIMIZERS: dict[str, tuple[Any, str]] = {
    "groups": ({"state": {0: 1}, "param_groups": 3}, "its param_groups are not a list of dicts"),
    "a group": ({"state": {0: 1}, "param_groups": [{}]}, "a param group has no list of params"),
    "names": ({"state": {0: 1}, "param_groups": [{"params": ["a"]}]}, "its params are not integers"),
    "states": ({"state": {0: 1}, "param_groups": [{"params": [0]}]}, "its state is not a dict of dicts"),
    "steps": ({"state": {0: {}}, "param_groups": [{"params": [0]}]}, "the state of a parameter has no step"),
    "others": ({"state": {-1: {"step": 3}}, "param_groups": None}, "it has no state of a parameter"),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_that_is_damaged(case: str, ijepa: IJEPA, reference_file: Any, capsys: Any) -> None:
    saved, said = OPTIMIZERS[case]
    if saved["param_groups"] is None:
        numbers, sizes = iter(range(100)), (10, 8, 19, 12)
        saved = {**saved, "param_groups": [{"params": [next(numbers) for _ in range(size)]} for size in sizes]}
    path = str(reference_file(ijepa, "ijepa", opt=saved))
    options = ["--heads", "3", "--predictor_heads", "3"]
    assert f"is damaged: {said}" in error(capsys, "convert", path, "out.ckpt", "--to", "torch", *options)


@pytest.mark.parametrize("form", ["hf", "timm", "safetensors", "reference", "torch"])
def test_a_destination_that_cannot_be(form: str, ijepa: IJEPA, capsys: Any) -> None:
    ijepa.save_pretrained("given")
    Path("file").write_text("mine")
    Path("folder").mkdir()
    for place in ("file", "folder", "given"):
        assert "is there already" in error(capsys, "convert", "given", place, "--to", form)
    said = "error: file is a file" if form == "hf" else "there is no folder file to write out to"
    assert said in error(capsys, "convert", "given", "file/out", "--to", form)
    if form != "hf":  # a folder, which is made with those above it
        assert "there is no folder none" in error(capsys, "convert", "given", "none/out", "--to", form)
    assert Path("file").read_text() == "mine"


NAMES = {
    "ijepa_vith14_1": "did you mean ijepa_vith14_1k?",
    "mine": "published ones are ijepa_vith14_1k,",
    "facebook/ijepa_nothing": "no repository of that name could be fetched",
    "timm:vit_nothing": "there is no encoder 'timm:vit_nothing'",
    "nothing.pt": "there is no file nothing.pt",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_published(name: str, capsys: Any) -> None:
    assert NAMES[name] in error(capsys, "convert", name, "out", "--to", "hf")
    if "/" not in name and ":" not in name:
        assert NAMES[name] in error(capsys, "inspect", name)


def test_a_published_name_without_a_network(capsys: Any, monkeypatch: Any) -> None:
    from urllib.error import URLError

    def no_network(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: "cache")
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    Path("cache/checkpoints").mkdir(parents=True)
    for command in (["inspect", "vjepa2_vit_large"], ["convert", "vjepa2_vit_large", "out", "--to", "hf"]):
        text = error(capsys, *command)
        assert "cannot download vjepa2_vit_large (<urlopen error Name or service not known>): fetch https://" in text
        assert "put it at cache/checkpoints/vitl.pt" in text


def test_a_repository_of_the_hub_is_converted_by_its_name(written: Path, monkeypatch: Any, capsys: Any) -> None:
    """Its files are links in the cache, in pieces too."""
    blobs, folder = Path("blobs"), Path("snapshot")
    blobs.mkdir(), folder.mkdir()
    state = load_file(written / "ijepa" / "model.safetensors")
    names = sorted(state)
    pieces = {f"model-{number}.safetensors": names[number::2] for number in range(2)}
    index = {name: piece for piece, held in pieces.items() for name in held}
    for piece, held in pieces.items():
        save_file({name: state[name] for name in held}, blobs / piece)
    (blobs / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    shutil.copy(written / "ijepa" / "config.json", blobs)
    for path in blobs.iterdir():
        (folder / path.name).symlink_to(path.resolve())
    asked: list[Any] = []
    monkeypatch.setattr(
        "jepa_lightning.interop.hub.snapshot_download", lambda name, **_: asked.append(name) or str(folder)
    )
    assert hub_folder("facebook/ijepa") == folder
    main(["convert", "facebook/ijepa", "out", "--to", "safetensors"])
    assert set(asked) == {"facebook/ijepa"}
    assert "IJEPA.from_pretrained('out')" in capsys.readouterr().out
    found = IJEPA.from_pretrained("out").target_encoder.state_dict()
    assert torch.equal(found["norm.weight"], state["layernorm.weight"])


def test_inspect_of_options_that_are_none(capsys: Any) -> None:
    checkpoint = {"state_dict": {"a": torch.ones(2)}, "pytorch-lightning_version": "2.6.0"}
    torch.save({**checkpoint, "hyper_parameters": 3}, "given.ckpt")
    assert "is damaged: its options are of type int, not a dict" in error(capsys, "inspect", "given.ckpt")
    torch.save(torch.ones(2), "given.pt")
    assert "given.pt holds one value of type Tensor, and no weights" in error(capsys, "inspect", "given.pt")


def test_inspect_of_folders_of_transformers(written: Path, capsys: Any) -> None:
    for name, kind in (("ijepa", "IJepaModel"), ("vjepa2", "VJEPA2Model"), ("dinov2", "Dinov2Model")):
        main(["inspect", str(written / name)])
        said = yaml.safe_load(capsys.readouterr().out)
        assert said["class"] == kind
        held = read_weights(written / name).content
        assert sum(each["parameters"] for each in said["networks"].values()) == sum(v.numel() for v in held.values())
