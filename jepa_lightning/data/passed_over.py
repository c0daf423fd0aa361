"""What a search for files passes over."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


class PassedOver:
    """Account of the entries of a folder that are not read, and why.

    Args:
        folder: that is searched.
        extensions: endings of the files that are read.

    Attributes:
        special: paths of pipes, devices and other things that are not regular files.
        repeated: paths of links to what has been found elsewhere.
        shards: paths of folders that ``jepa-lightning pack`` wrote.
    """

    def __init__(self, folder: Path, extensions: Sequence[str]) -> None:
        self.folder, self.extensions = folder, extensions
        self.special: list[str] = []
        self.repeated: list[str] = []
        self.shards: list[str] = []
        self._endings: Counter[str] = Counter()

    def count_ending(self, name: str) -> None:
        """Counts a file that is not read because of the ending of its name."""
        self._endings[Path(name).suffix.lower() or "none"] += 1

    def warn(self, kind: str) -> None:
        """Names what was passed over, in one warning for each reason.

        Args:
            kind: what the files hold, in the plural.
        """
        if self._endings:
            endings = ", ".join(f"{ending} ({count})" for ending, count in self._endings.most_common(8))
            warnings.warn(
                f"{self._endings.total()} files in {self.folder} are not read as {kind}, because of their endings: "
                f"{endings}. Endings that are read: {', '.join(self.extensions)}.",
                stacklevel=3,
            )
        reasons = (
            ("not regular files", self.special),
            ("links to what is found elsewhere", self.repeated),
            ("shards that `jepa-lightning pack` wrote", self.shards),
        )
        for reason, paths in reasons:
            if paths:
                more = ", ..." if len(paths) > 3 else ""
                warnings.warn(
                    f"{len(paths)} entries in {self.folder} are not read, because they are {reason}: "
                    f"{', '.join(sorted(paths)[:3])}{more}.",
                    stacklevel=3,
                )

    def missing(self, kind: str, expected: str) -> FileNotFoundError:
        """The error of a folder in which nothing was found.

        Args:
            kind: what the files hold, in the plural.
            expected: what was looked for.
        """
        if self.shards:
            reader = f"Streaming{'Image' if kind == 'images' else 'Video'}DataModule"
            expected = f"it holds shards that `jepa-lightning pack` wrote, which {reader} reads"
        return FileNotFoundError(f"there are no {kind} in {self.folder}: {expected}.")
