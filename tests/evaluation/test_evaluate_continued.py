import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import jepa_lightning
from jepa_lightning import IJEPA
from jepa_lightning.evaluation import feature_cache
from jepa_lightning.evaluation.evaluate import Evaluation
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings
from jepa_lightning.evaluation.tuned_detection import DetectionOptions


@pytest.fixture
def build(tmp_path: Path, shapes: Any, tiny_ijepa: Any) -> Callable[..., Evaluation]:
    """A new evaluation in the same folder."""

    def evaluation(module: IJEPA | None = None, data: Any = None, **options: Any) -> Evaluation:
        module = module or tiny_ijepa()
        data = data or shapes(num_train=24, num_val=8, batch_size=8, dense=True, pipeline=module.pipeline())
        data.setup()
        loaders = data.memory_dataloader(), data.test_dataloader()
        return Evaluation(Subject("checkpoint", module.eval()), loaders, "data", tmp_path, Settings(), **options)

    return evaluation


def test_features_of_the_same_weights_with_other_options_or_another_version_are_not_taken_up(
    build: Any, tiny_ijepa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, same, other = build(), build(), build(tiny_ijepa(heads=6))
    weights, others = (each.subject.module.eval_encoder.state_dict() for each in (first, other))
    assert all(torch.equal(each, others[name]) for name, each in weights.items())
    assert first.pooled[0].features["last"][:].tolist() == same.pooled[0].features["last"][:].tolist()
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert abs(first.pooled[0].features["last"] - other.pooled[0].features["last"]).max() > 1e-4
    monkeypatch.setattr(jepa_lightning, "__version__", "another")
    assert build().fingerprint != first.fingerprint


@pytest.mark.parametrize(("batches", "room"), [(0, 32), (2, 16), (3, 8), (4, 0)])
def test_tokens_that_are_on_the_disk_need_no_more_room(
    build: Any, monkeypatch: pytest.MonkeyPatch, batches: int, room: int
) -> None:
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 0.0)
    real, calls = Subject.tokens, itertools.count()

    def stops(self: Subject, views: Any) -> torch.Tensor:
        if next(calls) > batches:  # the first call is to learn the size
            raise KeyboardInterrupt
        return real(self, views)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Subject, "tokens", stops)
        build().tokens  # noqa: B018
    size = 16 * 48 * 2 * room
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size - 1))
    if room:
        with pytest.raises(ValueError, match=r"take 0.0 GB more, and .* has 0.0 GB: give an --output"):
            build().tokens  # noqa: B018
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size))
    assert [len(table.features["tokens"]) for table in build().tokens] == [24, 8]


@pytest.mark.parametrize("protocol", ["finetune", "detection", "linear"])
def test_what_is_trained_in_batches_of_the_data_is_done_again_in_others(
    build: Any, shapes: Any, tiny_ijepa: Any, protocol: str
) -> None:
    def key(batch_size: int) -> str:
        data = shapes(num_train=24, num_val=8, batch_size=batch_size, pipeline=tiny_ijepa().pipeline())
        found: str = build(data=data, detection=DetectionOptions(freeze=False))._key(protocol)
        return found

    assert key(8) == key(8)
    assert (key(8) == key(4)) is (protocol == "linear")
