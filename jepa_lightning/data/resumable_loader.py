"""A DataLoader that resumes in the middle of an epoch."""

from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader

from jepa_lightning.data.draws import DrawSampler


class ResumableDataLoader(DataLoader[Any]):
    """A DataLoader that Lightning's checkpoints remember the place of, in samples of all ranks.

    So a run may resume with another number of ranks, and sees what is left of the epoch.
    """

    _taken = 0  # samples of this rank
    _place = (0, 0)  # epoch and sample to resume from

    def __iter__(self) -> Any:
        """Iterates over what is left of the epoch."""
        epoch, samples = self._place
        self._taken, self._place = 0, (0, 0)
        # overfit_batches puts another sampler in the place of ours: it has no epochs and starts at 0
        if isinstance(self.sampler, DrawSampler):
            self._taken = samples // self.sampler.num_replicas if epoch == self.sampler.epoch else 0
            self.sampler.start = self._taken
        for batch in super().__iter__():
            self._taken += self._size
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, the number of samples taken from it, 0 once it is through, and how many a step takes."""
        taken = self._taken if self._taken < len(self) * self._size else 0
        return {
            "epoch": getattr(self.sampler, "epoch", 0),
            "samples": taken * self._ranks,
            "step": self._size * self._ranks,
            "ranks": self._ranks,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Starts that epoch after that many samples; another epoch starts at its beginning.

        A run that takes only a part of each epoch (`limit_train_batches`) may have ended one in its middle.
        """
        self._place = state["epoch"], state["samples"]
        if state["samples"] and state["ranks"] != self._ranks and not getattr(self.sampler, "elastic", True):
            rank_zero_warn(
                f"the run resumes in the middle of an epoch on {self._ranks} ranks, and had {state['ranks']}: each of "
                "them reads other samples, so that some samples are seen twice in this epoch and others not at all."
            )
        if (step := self._size * self._ranks) != state["step"]:
            rank_zero_warn(
                f"the run resumes with {step} samples a step, and had {state['step']}: the number of steps in an "
                "epoch, and with it the schedule, changes. To change nothing keep batch_size times devices the same."
            )

    @property
    def _size(self) -> int:
        return self.batch_size or 1

    @property
    def _ranks(self) -> int:
        return getattr(self.sampler, "num_replicas", 1)
