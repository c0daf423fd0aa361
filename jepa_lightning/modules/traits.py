"""What tells methods apart, in words."""

from typing import NamedTuple


class Traits(NamedTuple):
    """A row of the table that ``jepa-lightning methods`` prints.

    Attributes:
        predicts: pixels or a representation.
        kept_from_collapse_by: the means.
        needs_augmentations: learns nothing from views that are all the same.
        needs_negatives: uses other images of the batch, or of a queue, as what a view must not fit.
    """

    predicts: str
    kept_from_collapse_by: str
    needs_augmentations: bool
    needs_negatives: bool
