import pytest

from jepa_lightning.callbacks.probes.fresh import FreshCallback


class Count(FreshCallback):
    """Counts batches, ever since its last reset."""

    def __init__(self):
        self.batches = 0

    def reset(self):
        self.batches = 0

    def on_train_batch_end(self, *_):
        self.batches += 1

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.batches = state_dict["batches"]


@pytest.fixture
def fit(echo, table, clusters, quiet_trainer):
    data = table(clusters(32), clusters(16), 3, batch_size=8)

    def build(callback, epochs, ckpt_path=None):
        trainer = quiet_trainer(callbacks=[callback], max_epochs=epochs, limit_val_batches=0)
        trainer.fit(echo(), datamodule=data, ckpt_path=ckpt_path)
        return trainer

    return build


def test_a_second_fit_starts_afresh_and_one_with_a_checkpoint_does_not(fit, tmp_path):
    callback = Count()
    fit(callback, 1)
    assert callback.batches == 4
    fit(callback, 2).save_checkpoint(tmp_path / "run.ckpt")
    assert callback.batches == 8
    fit(callback, 3, tmp_path / "run.ckpt")
    assert callback.batches == 12
    fit(callback, 1)
    assert callback.batches == 4


def test_what_a_person_has_loaded_counts_for_the_next_fit_alone(fit):
    callback = Count()
    fit(callback, 1)
    callback.load_state_dict({"batches": 100})
    fit(callback, 1)
    assert callback.batches == 104
    fit(callback, 1)
    assert callback.batches == 4


def test_validation_restores_and_the_fit_after_it_starts_afresh(fit, echo, table, clusters, quiet_trainer, tmp_path):
    callback = Count()
    fit(callback, 1).save_checkpoint(tmp_path / "run.ckpt")
    fresh = Count()
    data = table(clusters(32), clusters(16), 3, batch_size=8)
    quiet_trainer(callbacks=[fresh]).validate(echo(), datamodule=data, ckpt_path=tmp_path / "run.ckpt", verbose=False)
    assert fresh.batches == 4
    fit(fresh, 2)
    assert fresh.batches == 8


def test_a_run_that_failed_leaves_nothing(fit, echo, table, clusters, quiet_trainer):
    class Fails(Count):
        def on_train_epoch_end(self, *_):
            raise RuntimeError("stop")

    callback = Fails()
    with pytest.raises(RuntimeError, match="stop"):
        fit(callback, 1)
    callback.load_state_dict({"batches": 50})
    with pytest.raises(RuntimeError, match="stop"):
        fit(callback, 1)
    assert callback.batches == 54
