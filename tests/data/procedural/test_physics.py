import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from scipy import ndimage

from jepa_lightning import VJEPA
from jepa_lightning.data import PhysicsVideoDataModule, PhysicsVideoDataset, ViolationDataset
from jepa_lightning.data.procedural.physics import PHYSICS_CLASS_NAMES
from jepa_lightning.data.procedural.physics_world import GRAVITY, SPEEDS
from jepa_lightning.types import Batch

BYTES_OF_32_CLIPS = (
    "d87cab49db7fe3f36db056fd59df3664432c12a7ccc15501b9494a749ba1704f",
    "5a4c414d74aad0bd4d8faf16599243288c459f3c2c2ce208a6f14e4a8b858d36",  # textured
)
BARS = torch.tensor([[115, 115, 128], [217, 217, 217]])[:, :, None, None]  # occluder and wall


def digest(textured: bool) -> str:
    frames = torch.cat([frames for frames, *_ in PhysicsVideoDataset(32, textured=textured)])
    return hashlib.sha256(frames.numpy().tobytes()).hexdigest()


def main_body(frame: torch.Tensor) -> torch.Tensor:
    """Center of the largest colored piece; occluder, wall and background are gray."""
    pieces, _ = ndimage.label((frame.amax(0).int() - frame.amin(0) > 60).numpy(), structure=torch.ones(3, 3).numpy())
    areas = torch.bincount(torch.from_numpy(pieces).flatten())[1:]
    y, x = ndimage.center_of_mass(pieces == 1 + int(areas.argmax()))
    return torch.tensor([x, y]) / frame.shape[-1]


def test_clips_are_uint8_rgb_of_the_size_asked_for_and_an_index_outside_ends_iteration() -> None:
    dataset = PhysicsVideoDataset(3, num_frames=5, image_size=20)
    samples = list(dataset)
    assert len(samples) == len(dataset) == 3
    for frames, labels, path in samples:
        assert (frames.dtype, frames.shape, path) == (torch.uint8, (5, 3, 20, 20), None)
        assert labels.keys() == PHYSICS_CLASS_NAMES.keys()
    with pytest.raises(IndexError, match="clip 3 of 3"):
        dataset[3]


def test_clips_have_the_same_bytes_everywhere() -> None:
    assert (digest(False), digest(True)) == BYTES_OF_32_CLIPS


@pytest.mark.slow
def test_clips_do_not_depend_on_the_processor() -> None:
    """Torch's kernels without vector instructions, in a process of their own."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tests.data.procedural.test_physics import digest; print(digest(False), digest(True))",
        ],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": os.pathsep.join([".", *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tuple(run.stdout.split()) == BYTES_OF_32_CLIPS


def test_clips_follow_from_seed_and_index_alone() -> None:
    state = torch.get_rng_state()
    clip, labels, _ = PhysicsVideoDataset(4)[3]
    again = PhysicsVideoDataset(2, offset=2)[1]
    assert torch.equal(again[0], clip)
    assert again[1] == labels
    assert not torch.equal(PhysicsVideoDataset(4, seed=1)[3][0], clip)
    assert torch.equal(torch.get_rng_state(), state)


def test_labels_are_drawn_evenly_and_collisions_are_not_rare() -> None:
    labels = [labels for _, labels, _ in PhysicsVideoDataset(2000, image_size=4)]
    for name, classes in PHYSICS_CLASS_NAMES.items():
        counts = Counter(label[name] for label in labels)
        assert set(counts) == set(range(len(classes)))
        assert min(counts.values()) > (0.05 if name == "collisions" else 0.75 / len(classes)) * len(labels)


def test_the_main_body_moves_as_its_labels_say() -> None:
    seen: Counter[int] = Counter()
    for frames, labels, _ in PhysicsVideoDataset(300, num_frames=4, image_size=96):
        if (frames[0] == BARS).all(dim=1).any():
            continue
        places = torch.stack([main_body(frame) for frame in frames])
        steps = places.diff(dim=0)
        pull = torch.tensor([0.0, GRAVITY * labels["gravity"]])
        if (steps.diff(dim=0) - pull).norm(dim=1).max() > 0.004 or labels["collisions"]:
            continue  # it bounced or met another one
        seen[labels["direction"]] += 1
        # y points down; in three frames a fall adds half of 3 * 3 times the gravity
        right, down = (steps.mean(0) - pull * 1.5).tolist()
        assert round(math.atan2(down, right) / (math.pi / 4)) % 8 == labels["direction"]
        assert min(range(3), key=lambda i: abs(SPEEDS[i] - math.hypot(right, down))) == labels["speed"]
    assert min(seen[direction] for direction in range(8)) > 5


def test_training_validation_and_pairs_are_disjoint_whatever_their_size() -> None:
    def sets(num_train: int) -> list[list[bytes]]:
        data = PhysicsVideoDataModule(num_train=num_train, num_val=20)
        data.setup()
        assert data.num_samples == num_train
        assert data.num_classes == {"direction": 8, "speed": 3, "gravity": 2, "collisions": 3, "shape": 8, "color": 8}
        return [[frames.numpy().tobytes() for frames, *_ in clips] for clips in (data.train_set, data.val_set)]

    few, many = sets(10), sets(40)
    assert many[0][:10] == few[0]
    assert many[1] == few[1]
    clips = [*many[0], *many[1], *(pair.possible.numpy().tobytes() for pair in ViolationDataset(50))]
    assert len(set(clips)) == 40 + 20 + 50


class Record(Callback):
    def __init__(self) -> None:
        self.seen: list[Batch] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        self.seen.append(batch)

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.seen.append(batch)


def test_a_trainer_shows_vjepa_clips_and_masks_whatever_the_workers(quiet_trainer: Callable[..., Trainer]) -> None:
    def batches(num_workers: int) -> list[Batch]:
        torch.manual_seed(0)
        model = VJEPA(
            "vit_tiny", 16, 8, num_frames=4, frame_step=2, num_blocks=(2, 1), spatial_scale=(0.25, 0.5), min_keep=1,
            width=24, depth=1, heads=2, predictor_depth=1, predictor_dim=24,
        )  # fmt: skip
        data = PhysicsVideoDataModule(8, 4, num_frames=9, image_size=24, batch_size=4, num_workers=num_workers)
        record = Record()
        quiet_trainer(max_epochs=1, num_sanity_val_steps=0, callbacks=[record]).fit(model, datamodule=data)
        return record.seen

    alone, workers = batches(0), batches(2)
    assert len(alone) == len(workers) == 3
    for first, second in zip(alone, workers, strict=True):
        assert first.views[0].shape == (4, 3, 4, 16, 16)
        assert isinstance(first.labels, dict)
        assert isinstance(second.labels, dict)
        assert first.labels.keys() == PHYSICS_CLASS_NAMES.keys()
        kinds = list(zip(first.masks, second.masks, strict=True))
        assert len(kinds) == 2
        assert torch.equal(first.views[0], second.views[0])
        assert all(torch.equal(first.labels[name], second.labels[name]) for name in PHYSICS_CLASS_NAMES)
        assert all(torch.equal(a.context, b.context) and torch.equal(a.target, b.target) for a, b in kinds)


def test_masks_tell_the_large_body_from_small_ones_and_never_one_small_body_from_another() -> None:
    dense = PhysicsVideoDataset(64, num_frames=2, dense=True)
    found = torch.stack([sample.extras["mask"] for sample in dense])
    large, small = (found == 1).sum(), (found == 2).sum()
    assert found.unique().tolist() == [0, 1, 2]
    assert large > small  # there are up to two small ones, each of less than a third of the area
