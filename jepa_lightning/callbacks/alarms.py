"""When measures of collapse mean that something is wrong, and how to say so."""

from collections.abc import Callable
from typing import Any, NamedTuple

Values = dict[str, float]


class Alarm(NamedTuple):
    """A sign of collapse.

    Attributes:
        name: of the measure that it is about; an alarm is not given where there is none.
        is_on: takes the first and the present values.
        text: filled with the present values, and the first ones as ``first_NAME``.
        after: optimizer steps in which it is not looked at.
    """

    name: str
    is_on: Callable[[Values, Values], bool]
    text: str
    after: int = 0


# In runs of I-JEPA on small images the energy first falls to a quarter with no gap at all, while position is learned;
# in those that go well the gap then opens. Pooled features of an untrained network may have an effective rank of 1.5
# (they tell bright from dark): it then rises, or falls towards 1 while their std and RankMe grow.
ALARMS = {
    "rank": Alarm(
        "effective_rank",
        lambda first, now: (
            now["effective_rank"] < max(0.25 * first["effective_rank"], min(1.5, 0.9 * first["effective_rank"]))
        ),
        "the features of different images span ever fewer directions: their effective rank is {effective_rank:.2f}, "
        "from {first_effective_rank:.2f} (dimensional collapse). Add a regularizer (uniformity, variance_covariance "
        "or sigreg), or lower the learning rate.",
    ),
    "std": Alarm(
        "std",
        lambda first, now: now["std"] < max(1e-4, 0.1 * first["std"]),
        "the features of different images become the same: their standard deviation is {std:.2g}, from "
        "{first_std:.2g} (complete collapse). Check that the target has no gradient and follows slowly (EMA), lower "
        "the learning rate, or add a regularizer.",
    ),
    "content": Alarm(
        "content_share",
        lambda first, now: now["content_share"] < max(0.01, 0.25 * first["content_share"]),
        "tokens depend on their position more than on the image: {content_share:.0%} of their variance lies between "
        "images, from {first_content_share:.0%} (positional collapse). Weigh the content of tokens "
        "(content=1), or average the targets over more layers (target_layers).",
    ),
    "gap": Alarm(
        "energy_gap",
        lambda first, now: now["energy"] < 0.1 * first["energy"] and now["energy_gap"] < 0.05,
        "the predictor no longer looks at the content: the energy is {energy:.2g}, from {first_energy:.2g}, but with "
        "the targets of another image it is only {energy_gap:.1%} higher (positional collapse). Weigh the content of "
        "tokens (content=1), make the predictor shallower, or average the targets over more layers (target_layers).",
    ),
    "actions": Alarm(
        "action_gap",
        lambda first, now: now["energy"] < 0.1 * first["energy"] and now["action_gap"] < 0.05,
        "the prediction does not depend on the actions: the energy is {energy:.2g}, from {first_energy:.2g}, and under "
        "the actions of another sample it is only {action_gap:.1%} higher (states hold what actions do not change). "
        "Weigh inverse dynamics (inverse=1), predict more steps (rollout_steps), or lower the weight of similarity.",
    ),
    # A predictor is worse than the mean of the targets at first, and learns the mean before all else. In the quickstart
    # its energy is 1.09 times that of the mean after 25 steps, and 0.79 times after 50; smaller networks with batches
    # of 32 have 0.99 (I-JEPA) and 1.00 (MAE) after 100. In a collapse both fall, and a gap says that images are told
    # apart, if with an error: neither is meant here.
    "fragments": Alarm(
        "energy_blind",
        lambda first, now: (
            now["energy"] > max(0.95 * now["energy_blind"], 0.5 * first["energy"])
            and now["energy_blind"] > 0.5 * first["energy_blind"]
            and now["energy_gap"] < 0.05
        ),
        "the energy is high for all pairs: {energy:.2g}, with the targets of another image {energy_other:.2g}, and "
        "predicting the mean of all targets would have {energy_blind:.2g} (fragmentation: nothing predicts the "
        "targets). Let the target follow more slowly (ema), lower the learning rate or the weight of a regularizer, "
        "or make the predictor deeper or wider.",
        after=100,
    ),
}


class AlarmBell:
    """Compares measures with the first ones, and says each thing once.

    Args:
        patience: measures in a row that an alarm must be on before it is given.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.first: Values = {}
        self.counts = dict.fromkeys(ALARMS, 0)

    def check(self, values: Values, step: int) -> list[str]:
        """Explanations of the alarms that are to be given now.

        Args:
            values: measures by name; the first ones are what later ones are compared with.
            step: optimizer steps so far.
        """
        self.first = self.first or dict(values)
        texts = []
        for kind, alarm in ALARMS.items():
            known = values.keys() & self.first.keys()  # the first ones may be of an earlier version
            if self.counts[kind] >= self.patience or alarm.name not in known or step < alarm.after:
                continue
            self.counts[kind] = self.counts[kind] + 1 if alarm.is_on(self.first, values) else 0
            if self.counts[kind] == self.patience:
                first = {f"first_{name}": value for name, value in self.first.items()}
                texts.append(alarm.text.format(**values, **first))
        return texts

    @property
    def given(self) -> int:
        """Number of alarms given so far."""
        return len(self.kinds)

    @property
    def kinds(self) -> list[str]:
        """Kinds of the alarms given so far."""
        return [kind for kind, alarm in ALARMS.items() if self.counts[kind] >= self.patience]

    def state_dict(self) -> dict[str, Any]:
        """The first values, and for how long each alarm has been on."""
        return {"first": dict(self.first), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores them."""
        self.first = dict(state["first"])
        self.counts = dict.fromkeys(ALARMS, 0) | dict(state["counts"])  # an earlier version had fewer alarms
