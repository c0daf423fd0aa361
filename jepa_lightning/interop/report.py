"""What became of each tensor of a file."""

from dataclasses import dataclass, field

SHOWN = 4  # names in a line


@dataclass
class LoadReport:
    """What was loaded from a file of weights, what was left out, and why.

    Args:
        source: the file.
        entry: of the file that was taken; None where it has one alone.
        loaded: names in the network.
        skipped: names in the file that were left out, each with the reason.
        reshaped: names in the network whose values are not those of the file, each with what was done.
        notes: choices that were made.

    Example:
        >>> from jepa_lightning.interop import LoadReport
        >>> print(LoadReport("a.pth", "target_encoder", ["norm.bias"], skipped={"loss": "of the training loop"}))
        a.pth, target_encoder: 1 tensors loaded
          skipped: loss (of the training loop)
    """

    source: str
    entry: str | None = None
    loaded: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    reshaped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        entry = f", {self.entry}" if self.entry else ""
        lines = [f"{self.source}{entry}: {len(self.loaded)} tensors loaded"]
        for what, names in (("skipped", self.skipped), ("reshaped", self.reshaped)):
            reasons: dict[str, list[str]] = {}
            for name, reason in names.items():
                reasons.setdefault(reason, []).append(name)
            lines += [f"  {what}: {_few(found)} ({reason})" for reason, found in reasons.items()]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
