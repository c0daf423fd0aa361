import numpy as np
import pytest
from lightning.pytorch import Trainer

from jepa_lightning import WorldModel


@pytest.mark.parametrize("kind", ["teleport", "wall"])
def test_pairs_differ_in_what_cannot_happen_alone(example, kind):
    true, false, actions = example("surprise_in_two_rooms.py").pairs_of(kind, 40, frame_skip=3)
    assert true.shape == false.shape == (40, 5, 65, 65, 2)
    assert actions.shape == (40, 4, 6)
    assert np.array_equal(true[:, 0], false[:, 0])
    assert np.array_equal(true[..., 1], false[..., 1])  # walls
    for clips, last in ((true, "stays in its room"), (false, "is elsewhere")):
        mass = clips[..., 0].astype(float)
        columns = (mass.sum(axis=2) * np.arange(65)).sum(axis=2) / mass.sum(axis=(2, 3))
        wall = (clips[:, 0, 5:60, 5:60, 1] > 0).mean(axis=1).argmax(axis=1) + 6
        crossed = np.sign(columns[:, 0] - wall) != np.sign(columns[:, -1] - wall)
        assert crossed.all() == (kind == "wall" and last == "is elsewhere"), last
        assert crossed.any() == crossed.all()


def test_a_checkpoint_is_judged(example, capsys, monkeypatch, tmp_path):
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
    module = WorldModel(width=16, num_frames=3, rollout_steps=2, inverse_hidden=8, action_size=6, frame_skip=3)
    trainer.strategy.connect(module)
    module.trainer = trainer
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    arguments = ["x", str(tmp_path / "last.ckpt"), "--pairs", "4"]
    monkeypatch.setattr("sys.argv", arguments)
    example("surprise_in_two_rooms.py").main()
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == ["teleport", "wall"]
