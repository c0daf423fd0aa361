"""Optimizers by name."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers  # type: ignore[attr-defined]
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from jepa_lightning.optim.groups import axes_of
from jepa_lightning.options import Interval

# element-wise optimizers; all others may need the whole weight
ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "adamw", "adan", "lion", "momentum", "nadam", "nadamw", "radam",
               "rmsprop", "sgd")  # fmt: skip

# one kernel for all weights, of which Adam's takes .19 of the time of a loop on a CPU (22 million weights, one thread)
FUSED = ("adam", "adamw")
FUSED_DEVICES = ("cpu", "cuda")

# ranges of options that torch and timm do not check
OPTION_RANGES = {
    "momentum": Interval("[0, 1)"),
    "dampening": Interval("[0, 1]"),
    "alpha": Interval("[0, 1)"),
    "eps": Interval("[0, inf)"),
    "trust_coeff": Interval("(0, inf)"),
}


def create_optimizer(
    groups: Iterable[dict[str, Any]],
    name: str,
    lr: float,
    betas: tuple[float, float] | None = None,
    options: Mapping[str, Any] | None = None,
    fused: bool = True,
) -> Optimizer:
    """Makes one of timm's optimizers over the groups as they are.

    Args:
        groups: from ``parameter_groups``.
        name: as in ``timm.optim.list_optimizers()``: ``adamw``, ``lars``, ``sgd``, ...
        lr: reference learning rate.
        betas: for optimizers that have them; None leaves the optimizer's own.
        options: further arguments of the optimizer, such as ``momentum`` or LARS's ``trust_coeff``.
        fused: take the fused kernel of Adam and AdamW where the device has it, and the options name no other.

    Returns:
        The optimizer.

    Raises:
        ValueError: if there is no optimizer of that name, it takes no betas or other options, an option is out of
            range, or it must see whole weights where a strategy has sharded or flattened them.
    """
    for option, value in (options or {}).items():
        allowed = OPTION_RANGES.get(option)
        if allowed and value not in allowed:
            raise ValueError(f"optimizer '{name}': {option}={value} is out of range: give a number {allowed}.")
    groups = list(groups)
    _check_name(name)
    _check_whole(name, [parameter for group in groups for parameter in group["params"]])
    if betas is not None and not get_optimizer_info(name.lower()).has_betas:
        raise ValueError(f"optimizer '{name}' takes no betas, got {betas}: leave them out.")
    given = dict(options or {}) | ({} if betas is None else {"betas": betas})
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    if fused and name.lower() in FUSED and devices <= {*FUSED_DEVICES} and not given.keys() & {"fused", "foreach"}:
        given["fused"] = True
    try:
        optimizer: Optimizer = create_optimizer_v2(groups, opt=name, lr=lr, **given)
    except TypeError as error:  # the optimizer names the argument that it does not know
        raise ValueError(f"optimizer '{name}' does not take the optimizer_options {given}: {error}.") from error
    return optimizer


def _check_name(name: str) -> None:
    """Refuses a name that timm does not know, with those that are nearest."""
    known = [str(each) for each in list_optimizers()]
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.optim.list_optimizers()."
        raise ValueError(f"there is no optimizer '{name}': {hint}")


def _check_whole(name: str, parameters: list[nn.Parameter]) -> None:
    """Refuses an optimizer that must see whole weights where a strategy has sharded or flattened them."""
    flat = any(axes_of(parameter) != parameter.ndim for parameter in parameters)
    # timm's divide by the norm of a whole weight, which torch does not let shards do
    if "muon" in name.lower() and (flat or any(isinstance(parameter, DTensor) for parameter in parameters)):
        raise ValueError(
            f"optimizer '{name}' needs whole weights, of which strategies fsdp and fsdp2 leave each rank a piece: use "
            f"strategy ddp, or one of {', '.join(ELEMENTWISE)}."
        )
    if name.lower() not in ELEMENTWISE and flat:
        raise ValueError(
            f"optimizer '{name}' looks at whole weights, of which strategy fsdp leaves each rank a flat piece: use "
            f"strategy fsdp2, or one of {', '.join(ELEMENTWISE)}."
        )
