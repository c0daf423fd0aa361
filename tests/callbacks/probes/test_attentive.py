from pathlib import Path

import pytest
import torch

from jepa_lightning.callbacks import OnlineAttentiveProbe, OnlineLinearProbe
from jepa_lightning.cli.main import main


def test_it_finds_what_the_mean_of_the_tokens_has_lost(token_echo, places, quiet_trainer, table):
    attentive, linear = OnlineAttentiveProbe(lrs=(3e-2,)), OnlineLinearProbe()
    trainer = quiet_trainer(callbacks=[attentive, linear], max_epochs=12)
    trainer.fit(token_echo(), datamodule=table(places(256), places(128, seed=1), 4, 32))
    assert trainer.callback_metrics["val/attentive"] > 0.95
    assert linear.best["val/linear"] < 0.4


@pytest.mark.parametrize(
    ("give_tokens", "layers", "calls", "width"),
    [(True, None, 0, 8), (False, None, 6, 8), (True, (0, -1), 6, 16), (False, (0, -1), 6, 16)],
)
def test_a_forward_pass_is_made_where_the_step_gives_no_such_tokens(
    token_echo, places, quiet_trainer, table, give_tokens, layers, calls, width
):
    module = token_echo(give_tokens)
    probe = OnlineAttentiveProbe(layers=layers, every_n_steps=1)
    trainer = quiet_trainer(callbacks=[probe], max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, datamodule=table(places(64), places(32), 4, 16))
    state = probe.state_dict()["probe"]
    # 4 batches of training and 2 of validation, in eval mode and without a graph
    assert module.calls == [(layers, False, False, False)] * calls
    assert module.training
    assert state["width"] == state["heads"]["variants.0.1.weight"].shape[1] == width


def test_tokens_of_ijepa_are_those_of_its_evaluation_encoder(tiny_ijepa, shapes, quiet_trainer):
    counts = []
    for callbacks in ([], [OnlineAttentiveProbe()]):
        module, data, calls = tiny_ijepa(), shapes(num_train=32), []
        module.eval_encoder.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        trainer = quiet_trainer(callbacks=callbacks, max_epochs=1)
        trainer.fit(module, datamodule=data)
        counts.append(len(calls))
    assert counts[0] == counts[1] > 0
    module.log, module.log_dict = lambda *_, **__: None, lambda *_, **__: None
    batch = next(iter(data.val_dataloader()))
    with torch.no_grad():
        seen = [module.eval().validation_step(batch, 0)["tokens"], module(batch.views[0], pool=False)]
    torch.testing.assert_close(*seen)


def test_neither_the_module_nor_the_global_generator_notices(tiny_ijepa, shapes, quiet_trainer):
    ends = []
    for callbacks in ([OnlineAttentiveProbe(layers=(0, -1), depth=2)], []):
        module = tiny_ijepa(drop_path=0.5)
        torch.manual_seed(0)
        quiet_trainer(callbacks=callbacks, max_epochs=2).fit(module, datamodule=shapes())
        ends.append(({name: p.clone() for name, p in module.state_dict().items()}, torch.get_rng_state()))
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_a_probe_without_a_learning_rate_is_refused():
    with pytest.raises(ValueError, match=r"lrs=.* is out of range: give at least one item"):
        OnlineAttentiveProbe(lrs=())


def test_heads_that_do_not_divide_the_width_are_refused(token_echo, places, quiet_trainer, table):
    trainer = quiet_trainer(callbacks=[OnlineAttentiveProbe(num_heads=3)], max_epochs=1)
    with pytest.raises(ValueError, match="features of width 8 are not a multiple of num_heads 3"):
        trainer.fit(token_echo(), datamodule=table(places(16), places(16), 4, 16))


OPTIONS = "lrs: [1e-3, 3e-4], depth: 2, num_heads: 4, generation: 1, layers: [0, -1], weight_decay: 0.1"


def test_the_command_line_builds_it_from_yaml(tiny_cli):
    text = Path(tiny_cli).read_text()
    probe = f"{{class_path: OnlineAttentiveProbe, init_args: {{{OPTIONS}, normalize: false}}}}"
    Path(tiny_cli).write_text(text.split("  callbacks:")[0] + f"  callbacks: [{probe}]\n")
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "4", "--trainer.precision", "bf16-mixed"])
    saved = torch.load("logs/IJEPA/version_0/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    state = saved["OnlineAttentiveProbe"]
    assert {"val/attentive", "val/attentive_shape", "val/attentive_shape/lr=0.0003"} <= state["best"].keys()
    groups = state["probe"]["optimizer"]["param_groups"]
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (lr, decay) for lr in (1e-3, 3e-4) for decay in (0.1, 0.0)
    ]
    heads = state["probe"]["heads"]
    assert heads["variants.1.0.blocks.0.attn.qkv.weight"].shape == (288, 96)
    assert {p.dtype for p in heads.values()} == {torch.float32}
