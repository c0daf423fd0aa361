"""Programs of torch.export and ONNX compute what the module does, for batches of any size."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop.export import export
from jepa_lightning.nn import AttentiveClassifier

CASES: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "pooled": ("ijepa", {}, (3, 32, 32)),
    "another size": ("ijepa", {"image_size": (48, 64), "output": "tokens"}, (3, 48, 64)),
    "clips": ("vjepa2", {}, (3, 8, 32, 32)),
    "clips that add positions": ("vjepa", {"output": "tokens"}, (3, 8, 32, 32)),
}


def expected(module: Any, x: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        tokens: torch.Tensor = module.eval_encoder(x)
    return tokens if options.get("output") == "tokens" else tokens.mean(dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_program_of_torch(case: str, request: Any, tmp_path: Path) -> None:
    name, options, size = CASES[case]
    module: Any = request.getfixturevalue(name)
    found = export(module, tmp_path / "a.pt2", **options)
    assert found.size == size
    assert found.difference is not None
    assert found.difference <= 1e-4
    program = torch.export.load(tmp_path / "a.pt2").module()
    for number in (2, 5):
        x = torch.randn(number, *size)
        torch.testing.assert_close(program(x), expected(module, x, options), atol=1e-4, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt2"]


def test_registers_and_convolutions_in_patches_take_batches_of_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = IJEPA("vit_tiny", width=24, depth=1, heads=3, image_size=16, patch_size=4, predictor_depth=1,
                   predictor_dim=24, min_keep=2, registers=2, patch_embedding="convolutional").eval()  # fmt: skip
    export(module, tmp_path / "a.pt2", "tokens")
    x = torch.randn(5, 3, 16, 16)
    found = torch.export.load(tmp_path / "a.pt2").module()(x)
    torch.testing.assert_close(found, expected(module, x, {"output": "tokens"}), atol=1e-4, rtol=0)


def test_a_probe_gives_logits(vjepa2: VJEPA, tmp_path: Path) -> None:
    torch.manual_seed(0)
    probe = AttentiveClassifier(72, 5, depth=2, heads=3, generation=2).eval()
    export(vjepa2, tmp_path / "a.pt2", "logits", probe)
    clip = torch.randn(3, 3, 8, 32, 32)
    with torch.no_grad():
        logits = probe(vjepa2.eval_encoder(clip))
    torch.testing.assert_close(torch.export.load(tmp_path / "a.pt2").module()(clip), logits, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"logits need a probe"):
        export(vjepa2, tmp_path / "b.pt2", "logits")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ["pooled", "another size", "clips"])
def test_onnx_by_another_runtime(case: str, request: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    name, options, size = CASES[case]
    module: Any = request.getfixturevalue(name)
    found = export(module, tmp_path / "a.onnx", **options)
    assert found.files == (tmp_path / "a.onnx",)
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    for number in (1, 3):
        x = torch.randn(number, *size)
        (output,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(output), expected(module, x, options), atol=1e-4, rtol=0)


def test_a_place_that_is_taken_or_not_there(ijepa: IJEPA, tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_text("mine")
    for path, said in ((tmp_path / "a.pt2", "is there already"), (tmp_path / "b.h5", "ends in")):
        with pytest.raises(ValueError, match=said):
            export(ijepa, path)
    assert (tmp_path / "a.pt2").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt2"]
