from pathlib import Path

import pytest
import torch

import jepa_lightning


@pytest.fixture
def study(example):
    return example("ablation_study.py")


@pytest.fixture
def compare(example):
    return example("compare_methods.py")


def built(study, compare, ablation):
    torch.manual_seed(0)
    module = study.build(ablation, compare.ENCODER, compare.OPTIONS[ablation.method])
    pipeline = module.pipeline()
    images = torch.randint(0, 256, (4, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return module, pipeline.collate([pipeline.transform(image) for image in images])


def of(study, method, without):
    (found,) = (each for each in study.ABLATIONS if (each.method, each.without) == (method, without))
    return found


def test_every_method_and_what_it_is_said_to_need_is_there(study, compare):
    known = {ablation.method for ablation in study.ABLATIONS}
    assert known == set(compare.OPTIONS)
    for method in known:
        traits = getattr(jepa_lightning, method).traits
        taken = {each.without for each in study.ABLATIONS if each.method == method}
        assert study.VIEWS in taken
        assert (study.NEGATIVES in taken) == traits.needs_negatives, method


def test_every_run_has_a_gradient(study, compare):
    for ablation in study.runs(list(compare.OPTIONS)):
        module, batch = built(study, compare, ablation)
        loss = module.objective(batch, 0.0).loss
        loss.backward()
        assert loss.isfinite(), study.name_of(ablation)
        online = module.context_encoder if ablation.method == "IJEPA" else module.encoder
        assert any(weight.grad is not None for weight in online.parameters()), study.name_of(ablation)


@pytest.mark.parametrize("method", ["SimCLR", "MoCo", "BYOL", "SimSiam", "DINO", "VICReg", "BarlowTwins", "LeJEPA"])
def test_without_augmentations_all_views_are_the_same(study, compare, method):
    views = built(study, compare, of(study, method, study.VIEWS))[1].views
    assert torch.equal(views[0], views[1])
    ordinary = built(study, compare, study.Ablation(method, study.AS_IT_IS))[1].views
    assert not torch.equal(ordinary[0], ordinary[1])


@pytest.mark.parametrize("method", ["IJEPA", "MAE"])
def test_without_masks_the_context_holds_the_targets(study, compare, method):
    masks = built(study, compare, of(study, method, "masks"))[1].masks[0]
    assert masks.context.shape == (4, 36)
    assert masks.context.sort().values.tolist() == [list(range(36))] * 4


@pytest.mark.parametrize("method", ["SimCLR", "MoCo"])
def test_without_negatives_the_loss_of_an_image_does_not_depend_on_others(study, compare, method):
    for without, depends in ((study.NEGATIVES, False), (study.AS_IT_IS, True)):
        ablation = study.Ablation(method, without) if depends else of(study, method, without)
        module, batch = built(study, compare, ablation)
        module.eval()  # batch norms look at the batch too
        parts = [module.objective(batch._replace(views=[view[k : k + 2] for view in batch.views]), 0.0) for k in (0, 2)]
        whole = module.objective(batch, 0.0).loss
        apart = torch.stack([part.loss for part in parts]).mean()
        if method == "MoCo" and depends:  # its negatives are those of earlier batches
            module.queue.keys.neg_()
            apart = module.objective(batch, 0.0).loss
        assert torch.allclose(whole, apart, atol=1e-6) != depends


class Blind(torch.nn.Module):
    """A predictor through which no gradient goes."""

    def forward(self, projected):
        return torch.ones_like(projected)


@pytest.mark.parametrize("method", ["BYOL", "SimSiam"])
def test_without_stop_gradient_targets_have_one(study, compare, method):
    for ablation in (study.Ablation(method, study.AS_IT_IS), of(study, method, "stop-gradient")):
        module, batch = built(study, compare, ablation)
        module.predictor = Blind()
        assert module.objective(batch, 0.0).loss.requires_grad == bool(ablation.without)


def test_the_table_has_a_line_for_each_method(study, compare, tmp_path: Path, monkeypatch):
    scenes = study.Scenes
    monkeypatch.setattr(study, "Scenes", lambda size, offset: scenes(64, offset))
    options = [
        "--ablate",
        "--methods",
        "MAE",
        "SimCLR",
        "--steps",
        "1",
        "--seeds",
        "0",
        "--out",
        str(tmp_path / "out.v2"),
    ]
    monkeypatch.setattr(compare, "ablate", study.ablate)
    compare.main(options)
    head, _, *lines = (tmp_path / "out.v2.md").read_text().splitlines()
    assert head.count("|") == 7
    assert [line.split(" | ")[0] for line in lines] == ["| `MAE`", "| `SimCLR`", "| before training"]
    assert lines[0].split(" | ")[4] == "none"
    assert "masks " in lines[0].split(" | ")[5]
    kept = (tmp_path / "out.v2.csv").read_text()
    compare.main(options)
    assert (tmp_path / "out.v2.csv").read_text() == kept
