"""Parameter groups, optimizers by name, and the schedule of learning rate and weight decay."""

from jepa_lightning.optim.groups import parameter_groups
from jepa_lightning.optim.lengths import optimizer_steps, warmup_steps
from jepa_lightning.optim.optimizers import ELEMENTWISE, create_optimizer
from jepa_lightning.optim.schedule import WarmupCosine

__all__ = [
    "ELEMENTWISE",
    "WarmupCosine",
    "create_optimizer",
    "optimizer_steps",
    "parameter_groups",
    "warmup_steps",
]
