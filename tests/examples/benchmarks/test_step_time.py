import statistics
import time

import pytest
from lightning.pytorch import Callback


class Pause(Callback):
    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        time.sleep(self.seconds)


def test_the_trainers_time_holds_what_callbacks_cost_and_the_others_do_not(example, tiny_ijepa, make_batch):
    benchmark = example("benchmarks/step_time.py")
    module = tiny_ijepa()

    def medians(pause):
        times = benchmark.in_turns(module, make_batch(module), [Pause(pause)], steps=6)
        return {name: statistics.median(column) for name, column in times.items()}

    # much longer than a step, however slow the machine is just now
    pause = max(0.3, 5 * max(medians(0.0).values()))
    found = medians(pause)
    assert found["trainer"] > pause
    assert max(found["plain"], found["objective"]) < pause


def test_plain_and_objective_step_train_alike(example, tiny_ijepa, make_batch):
    benchmark = example("benchmarks/step_time.py")
    modules = tiny_ijepa(), tiny_ijepa()
    batch = make_batch(modules[0])
    for step in (benchmark.plain_step(modules[0], batch), benchmark.objective_step(modules[1], batch)):
        step(), step()
    first, second = (module.state_dict() for module in modules)
    assert all(value.equal(second[name]) for name, value in first.items())
    assert not first["target_encoder.blocks.0.mlp.fc1.weight"].equal(
        tiny_ijepa().state_dict()["target_encoder.blocks.0.mlp.fc1.weight"]
    )


@pytest.mark.slow
def test_prints_a_ratio_for_each_variant_and_each_data_module(example, capsys):
    options = "--encoder vit_tiny --image-size 64 --batch-size 2 --steps 11 --rounds 1 --data-root nowhere"
    example("benchmarks/step_time.py").main(options.split())
    lines = capsys.readouterr().out.splitlines()
    for name in ("bare objective", "Trainer with EMA alone", "Trainer with all default callbacks"):
        assert 0 < float(next(line for line in lines if line.startswith(name)).split()[-1]) < 10
    assert sum("DataModule" in line for line in lines) == 6
    assert sum("not on disk" in line for line in lines) == 3
