import csv
from pathlib import Path

import pytest
import torch


def test_it_writes_a_row_for_each_part_on_and_off_and_continues(
    example, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = example("initialization_study.py")
    small = ["--steps", "1", "--batch-size", "4", "--width", "24", "--depth", "1", "--precision", "32-true"]
    command = ["--methods", "SimCLR", "--patches", "8", "--image-size", "16", "--data", str(folder), *small]
    real, done = study.run, []

    def run(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(study, "run", run)
        with pytest.raises(KeyboardInterrupt):
            study.main(command)
    study.main(command)
    rows = list(csv.DictReader(Path("initialization.csv").read_text().splitlines()))
    parts = [(row["scaled patches"], row["scaled depth"]) for row in rows]
    assert parts == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("linear before", "knn before", "linear", "knn"))
    with pytest.raises(SystemExit, match=r"holds runs with .*'width': '24'.* has .*'width': '48'"):
        study.main([*command, "--width", "48"])


def test_both_parts_reach_every_transformer(example) -> None:
    study = example("initialization_study.py")
    module = study.build_module("IJEPA", 4, 32, 48, 2)
    study.initialize_(module, scale_patches=True, scale_depth=True)
    for encoder in (module.context_encoder, module.target_encoder):
        assert encoder.patch_embed.proj.weight.std().item() > 0.08  # sqrt(.5 / 48) is .1
        assert encoder.blocks[1].attn.proj.weight.std().item() < 0.012
    assert module.predictor.predictor_blocks[1].mlp.fc2.weight.std().item() < 0.012
    online, target = module.ema_pairs()[0]
    assert all(map(torch.equal, online.parameters(), target.parameters()))
