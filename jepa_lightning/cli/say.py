"""What the command line tells the user."""

from lightning.pytorch.utilities import rank_zero_only


@rank_zero_only
def say(text: str) -> None:
    """Prints a line on the first rank.

    Args:
        text: Of the line.
    """
    print(f"jepa-lightning: {text}")
