"""The one optimizer of a module, and the schedule of its learning rate and weight decay."""

import math
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_warn

from jepa_lightning.optim import WarmupCosine, create_optimizer, optimizer_steps, warmup_steps


def optimizer_and_schedule(module: Any) -> dict[str, Any]:
    """What ``configure_optimizers`` of a ``JEPAModule`` returns, from its options and the length of the run.

    Args:
        module: attached to a Trainer.

    Raises:
        MisconfigurationException: if the run has no known length.
        ValueError: if an option is not for the optimizer.
    """
    if math.isinf(steps := optimizer_steps(module.trainer)):
        raise MisconfigurationException(
            f"the learning rate follows a schedule, and max_epochs={module.trainer.max_epochs} does not tell how "
            "many steps this run has, since it has no end or its training data no known length: set max_steps "
            "(--trainer.max_steps)."
        )
    total = int(steps)
    # a fused kernel divides gradients by the factor of half precision, after they have been clipped; Lightning refuses
    # to clip for such a kernel in bfloat16 too
    precision, clips = module.trainer.precision, module.trainer.gradient_clip_val
    fused = precision != "16-mixed" and not (precision == "bf16-mixed" and clips)
    groups = module.optimizer_groups()
    optimizer = create_optimizer(
        groups, module.optimizer_name, module.lr, module.betas, module.optimizer_options, fused
    )
    if math.isinf(module.trainer.num_training_batches):
        module.trainer.fit_loop.setup_data()  # a run with max_steps alone has not counted its batches yet
    epoch = module.trainer.num_training_batches / module.trainer.accumulate_grad_batches
    warmup = warmup_steps(module.warmup, total, epoch)
    if warmup >= total:
        rank_zero_warn(f"a warm-up of {warmup} steps is cut to end within the {total} steps of this run.")
        warmup = total - 1
    schedule = WarmupCosine(
        optimizer,
        total_steps=round(total * module.schedule_stretch),
        warmup_steps=warmup,
        start_lr=module.start_lr,
        final_lr=module.final_lr,
        weight_decay_end=module.final_weight_decay,
        legacy=module.legacy_schedule,
        linear=module.lr_decay == "linear",
        given=("betas", *(module.optimizer_options or ())),
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}
