import pytest
import torch

CONFIG = """
model:
  class_path: IJEPA
  init_args: {encoder: vit_tiny, width: 48, depth: 1, heads: 3, image_size: 32, patch_size: 8, predictor_depth: 1,
    predictor_dim: 24, num_targets: 2, min_keep: 4}
data: {class_path: ShapesDataModule, init_args: {batch_size: 4}}
trainer:
  max_steps: 53
  check_val_every_n_epoch: null
  num_sanity_val_steps: 0
  callbacks: [{class_path: OnlineLinearProbe}, {class_path: CollapseMonitor, init_args: {memory: 16}}]
"""


def test_a_row_for_each_clock_and_what_each_callback_costs(example, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    example("benchmarks/trainer_overhead.py").main(["--config", "config.yaml", "--images", "16", "--where"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("config.yaml, 53 steps")
    for line, clock in zip(lines[2:4], ("wall", "CPU"), strict=True):
        name, bare, *_, blocks, median, least, most = line.split()
        assert (name, blocks, median) == (clock, "1", least)
        assert least == most
        assert float(bare) > 0
    costs = {line.split()[0]: float(line.split()[1]) for line in lines[5:]}
    assert costs["OnlineLinearProbe"] > 0
    assert costs["EMACallback"] > 0
    assert list(costs.values()) == sorted(costs.values(), reverse=True)


def test_the_bare_loop_trains_as_the_trainer_does(example, tiny_ijepa, make_batch):
    module = tiny_ijepa()
    target = [each.clone() for each in module.target_encoder.parameters()]
    bare = example("benchmarks/trainer_overhead.py").BareLoop(module)
    batch = make_batch(module)
    first = float(module.objective(batch, 0.0).loss.detach())
    for _ in range(5):
        bare.step(batch)
    assert float(module.objective(batch, 0.0).loss.detach()) < first
    moved = [not a.equal(b) for a, b in zip(target, module.target_encoder.parameters(), strict=True)]
    assert any(moved)


def test_the_trainers_time_is_that_between_two_batches(example, monkeypatch):
    benchmark = example("benchmarks/trainer_overhead.py")
    clock = [0.0]
    monkeypatch.setitem(benchmark.CLOCKS, "wall", lambda: clock[0])

    class Bare:
        def step(self, batch):
            clock[0] += 1.0

    turns = benchmark.Turns([torch.zeros(1)], Bare(), 3)
    for _ in turns:
        clock[0] += 5.0
    wall = {name: watch.times["wall"] for name, watch in turns.watches.items()}
    assert wall == {"bare": [1.0] * 3, "trainer": [5.0] * 3}


def test_blocks_leave_out_the_first_step_and_what_is_not_whole(example):
    benchmark = example("benchmarks/trainer_overhead.py")
    size = benchmark.CollapseMonitor().every_n_steps
    assert benchmark.blocks_of([1000.0] + [1.0] * size + [2.0] * size + [5.0]) == [size, 2.0 * size]


def test_too_few_steps_are_refused(example, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example("benchmarks/trainer_overhead.py").main(["--steps", "9"])
    assert "--steps 9: give at least 52, for one block." in capsys.readouterr().err
