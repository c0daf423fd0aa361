import pytest
import torch

from jepa_lightning.optim.optimizers import create_optimizer

SIZES = "--encoder vit_tiny --batch-size 2 --rounds 2 --warm-up 0"
# names in timm's encoder are this package's; those of the network that fills in tokens
FILLER = {
    "predictor_embed": "embed",
    "predictor_pos_embed": "positions",
    "predictor_blocks": "blocks",
    "predictor_norm": "norm",
    "predictor_proj": "project",
    "mask_token": "mask_token",
}


@pytest.fixture
def contest(example):
    torch.manual_seed(0)
    blocks = example("benchmarks/peers.py").MultiBlockMask(6)(2)
    random = example("benchmarks/peers.py").RandomMask(6)(2)
    images, others = torch.randn(2, 2, 3, 96, 96)
    return example("benchmarks/peers_step.py").Contest(
        "vit_tiny", 16, images, others, blocks, random, 1, 48, (48, 1, 3)
    )


def filler_weights(network):
    weights = {}
    for name, value in network.state_dict().items():
        first, _, rest = name.partition(".")
        weights[".".join(filter(None, (FILLER[first], rest)))] = value
    return weights


def give_weights(method, ours, plain):
    (module,), (encoder, head) = ours.networks, plain.networks
    source = module.context_encoder if method == "I-JEPA" else module.encoder
    for network in (encoder, *(target for _, target in plain.pairs)):
        network.load_state_dict(source.state_dict())
    if method == "SimCLR":
        head.load_state_dict(module.projector.state_dict())
    else:
        head.load_state_dict(filler_weights(module.predictor if method == "I-JEPA" else module.decoder))


@pytest.mark.parametrize("method", ["I-JEPA", "MAE", "SimCLR"])
def test_the_plain_loop_computes_the_same(example, contest, method):
    ours = example("benchmarks/peers_ours.py").METHODS[method](contest)
    plain = example("benchmarks/peers_plain.py").METHODS[method](contest)
    give_weights(method, ours, plain)
    torch.testing.assert_close(plain.loss(), ours.loss(), rtol=1e-4, atol=1e-5)
    number = {name: sum(each.numel() for each in entry.parameters) for name, entry in (("a", ours), ("b", plain))}
    fixed = sum(each.numel() for name, each in _named(plain) if name.endswith(("pos_embed", "positions")))
    assert number["a"] == number["b"] - fixed


def _named(entry):
    return [pair for network in entry.networks for pair in network.named_parameters()]


@pytest.mark.parametrize("method", ["I-JEPA", "MAE", "SimCLR"])
@pytest.mark.parametrize("file", ["ours", "plain", "lightly", "stable_pretraining"])
def test_a_step_trains_all_weights_and_moves_targets(example, contest, file, method):
    if file in ("lightly", "stable_pretraining"):
        pytest.importorskip(file)
    entry = example(f"benchmarks/peers_{file}.py").METHODS[method](contest)
    step = example("benchmarks/peers_step.py").step_of(entry)
    before = [each.clone() for _, target in entry.pairs for each in target.parameters()]
    first = float(entry.loss().detach())
    step()
    assert all(each.grad is not None for each in entry.parameters)
    assert float(entry.loss().detach()) != first
    after = [each for _, target in entry.pairs for each in target.parameters()]
    assert len(after) == len(before)
    assert (len(after) > 0) == (method == "I-JEPA")
    assert all(not each.requires_grad for each in after)
    assert not before or any(not a.equal(b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("method", ["I-JEPA", "MAE", "SimCLR"])
def test_explicit_attention_computes_the_same(example, contest, method):
    plain = example("benchmarks/peers_plain.py")
    losses = []
    for table in (plain.METHODS, plain.EXPLICIT):
        torch.manual_seed(0)
        entry = table[method](contest)
        losses.append(entry.loss())
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    networks = (*entry.networks, *(target for _, target in entry.pairs))
    fused = [each.fused_attn for network in networks for each in network.modules() if hasattr(each, "fused_attn")]
    assert fused
    assert not any(fused)


def test_the_kernel_of_adamw_is_the_packages_own_and_changes_nothing(example, contest, monkeypatch):
    benchmark, told, weights = example("benchmarks/peers_step.py"), [], []
    optimizer = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: (told.append(k["fused"]), optimizer(*a, **k))[1])
    for table in ("METHODS", "UNFUSED"):
        torch.manual_seed(0)
        entry = getattr(example("benchmarks/peers_ours.py"), table)["I-JEPA"](contest)
        benchmark.step_of(entry)()
        weights.append(entry.parameters)
    assert told == [True, None]
    torch.testing.assert_close(*weights, atol=1e-6, rtol=1e-5)
    (network,) = entry.networks
    assert create_optimizer([{"params": list(network.parameters())}], "adamw", 1e-4).defaults["fused"]


def test_half_precision_is_autocast(example, contest):
    seen = []
    entry = example("benchmarks/peers_ours.py").METHODS["SimCLR"](contest)
    watched = entry._replace(loss=lambda: (seen.append(torch.is_autocast_enabled("cpu")), entry.loss())[1])
    for precision in example("benchmarks/peers_step.py").PRECISIONS:
        example("benchmarks/peers_step.py").step_of(watched, precision)()
    assert seen == [False, True]


def test_it_prints_a_row_for_each_that_is_installed_and_a_line_for_the_others(example, capsys, monkeypatch):
    benchmark = example("benchmarks/peers.py")
    missing = {"lightly": ("no-such-package", "peers_lightly", "METHODS"), "stable-pretraining": ("", "", "")}
    parties = {name: missing.get(name, found) for name, found in benchmark.PARTIES.items()}
    monkeypatch.setattr(benchmark, "PARTIES", {name: found for name, found in parties.items() if found[0]})
    benchmark.main([*SIZES.split(), "--methods", "SimCLR"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no-such-package is not installed, and is left out: pip install no-such-package."
    rows = [[cell.strip() for cell in (line[:8], line[8:34], *line[34:].split())] for line in lines[3:]]
    names = ["jepa_lightning", "AdamW not fused", "timm, plain loop", "timm, explicit"]
    assert [row[0] for row in rows] == ["SimCLR"] * len(names)
    assert [row[1].rsplit(maxsplit=1)[0] for row in rows] == names
    for _, _, flops, cpu, ratio, low, _, high, *_ in rows:
        assert float(cpu) > 0
        assert 0.2 < float(ratio) < 5
        assert float(low) <= float(high)
        assert float(flops) == pytest.approx(float(rows[0][2]), abs=0.2)
    assert rows[2][2] == rows[0][2]  # the plain loop does the same work
    assert float(rows[3][2]) > float(rows[0][2])  # torch does not count the products of fused attention on a CPU


def test_too_few_rounds_are_refused(example, capsys):
    with pytest.raises(SystemExit):
        example("benchmarks/peers.py").main(["--rounds", "1"])
    assert "--rounds 1: give at least 2." in capsys.readouterr().err
