import pytest
import torch

COMMAND = "--ranks 3 --samples 4 --width 8 --rounds 1"


def test_a_simulated_rank_computes_the_loss_of_its_own_samples(example):
    """The other ranks send nothing."""
    benchmark = example("benchmarks/rank_statistics.py")
    views = torch.randn(2, 6, 4)
    with benchmark.simulated(3):
        assert torch.distributed.get_world_size() == 3
        gathered = benchmark.losses(gather=True)["Barlow Twins"](*views)
    assert gathered == pytest.approx(benchmark.losses(gather=False)["Barlow Twins"](*views).item(), rel=1e-5)
    assert not torch.distributed.is_initialized()


def test_the_joint_batch_is_ranks_times_larger(example, monkeypatch):
    benchmark, seen = example("benchmarks/rank_statistics.py"), []
    monkeypatch.setattr(benchmark, "cpu_seconds", lambda loss, samples, width: seen.append((samples, width)) or 1.0)
    assert benchmark.compare(8, 5, {"LeJEPA": 7}, rounds=1) == {"LeJEPA": (1.0, 1.0)}
    assert seen == [(40, 7), (5, 7)] * 2


def test_prints_a_row_for_each_loss(example, capsys):
    example("benchmarks/rank_statistics.py").main(COMMAND.split())
    rows = capsys.readouterr().out.splitlines()
    assert [row[:14].strip() for row in rows] == ["loss", "VICReg", "Barlow Twins", "LeJEPA"]
    assert all(float(row.split()[-1]) > 0 for row in rows[1:])
