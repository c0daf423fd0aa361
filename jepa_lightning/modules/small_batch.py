"""Warns where a step's batch is far below the one that a method's default learning rate is for."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from jepa_lightning.modules.unused_options import default_of

FAR_BELOW = 4  # times smaller than the paper's batch


def warn_of_small_batch(module: Any, size: int) -> None:
    """Names the learning rate that the paper's rule gives for the batch of this run.

    A rate of another value than the default is the user's and is not judged.

    Args:
        module: a ``JEPAModule`` attached to a Trainer.
        size: samples in a batch of this process.
    """
    paper = module.paper_batch
    trainer = module.trainer
    step = size * trainer.world_size * trainer.accumulate_grad_batches
    if paper is None or step * FAR_BELOW > paper or not _has_the_papers_rate(module):
        return
    share = step / paper
    lr = module.lr * (share if module.paper_rule == "linear" else share**0.5)
    rank_zero_warn(
        f"{type(module).__name__}: the default lr={module.lr:g} is the paper's for {paper:,} samples a step, and this "
        f"run has {step:,}: it may learn nothing. By the paper's {module.paper_rule} rule set lr={lr:.3g} "
        "(--model.lr), or raise the batch."
    )


def _has_the_papers_rate(module: Any) -> bool:
    """Whether the rate is the default of the class that names the paper's batch, and not that of a subclass."""
    owner = next(cls for cls in type(module).__mro__ if "paper_batch" in vars(cls))
    options = module.hparams
    return all(options[name] == default_of(owner, name) for name in ("lr", "optimizer"))
