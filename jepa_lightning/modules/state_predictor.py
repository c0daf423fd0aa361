# D width, A numbers of an action
"""Which network tells the states that follow, and which options are for it."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from jepa_lightning.modules.frame_encoder import frame_grid
from jepa_lightning.nn import CausalPredictor, GRUPredictor, MLPPredictor, TokenPredictor

PredictorName = Literal["gru", "mlp", "adaln", "tokens"]
ATTENTION = ("history", "predictor_heads", "predictor_head_width")
TRANSFORMER = ("history", "predictor_depth", "predictor_heads", "predictor_head_width", "predictor_hidden", "dropout")


def state_predictor(module: Any, action_size: int, options: Mapping[str, Any]) -> nn.Module:
    """The predictor, called as ``predictor(states, actions, memory)``; see ``nn.CausalPredictor``.

    Args:
        module: whose it is, with its encoder.
        action_size: A.
        options: of the module.

    Raises:
        ValueError: if it predicts tokens, and the encoder does not say where these are.
    """
    name, size = options["predictor"], (module.width, action_size)
    if name == "gru":
        return GRUPredictor(*size)
    if name == "mlp":
        return MLPPredictor(*size, options["predictor_depth"], options["predictor_hidden"], options["dropout"])
    shape = [options[option] for option in TRANSFORMER]
    if name == "adaln":
        return CausalPredictor(*size, *shape)
    grid = frame_grid(module, "predictor 'tokens'")
    return TokenPredictor(*size, grid, options["predictor_dim"], *shape)


def unused_by_predictor(predictor: str) -> dict[str, str]:
    """Options that a predictor does not take, each with the reason."""
    others = {"gru": TRANSFORMER, "mlp": ATTENTION}.get(predictor, ())
    unused = dict.fromkeys(others, f"predictor is {predictor}")
    if predictor == "tokens":
        unused |= dict.fromkeys(("pool", "state_width"), "predictor tokens takes all tokens of a frame")
    else:
        unused["predictor_dim"] = f"predictor is {predictor}, which has the width of the state"
    return unused
