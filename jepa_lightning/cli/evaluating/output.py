"""The folder of results: those of another evaluation in it are not mixed with these, nor replaced."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import appearing
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.planning.output import results_in
from jepa_lightning.evaluation.detection import FROZEN
from jepa_lightning.evaluation.protocols import DETECTION
from jepa_lightning.evaluation.tuned_detection import FINE_TUNED

RESULTS, ROW = "results.json", "results.md"
MADE_BY = "jepa-lightning evaluate"


def check_output(output: str) -> Path:
    """The folder to write to, before anything is computed.

    Raises:
        UsageError: if it is no folder, or holds results of something else.
    """
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file: give a folder.")
    found = [folder / name for name in (RESULTS, ROW) if os.path.lexists(folder / name)]
    if found and results_in(folder / RESULTS, MADE_BY) is None:
        raise UsageError(f"{found[0]} was not made by {MADE_BY}: give another --output.")
    return folder


def earlier_results(folder: Path, identity: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    """Results of the same evaluation that are there already; new protocols are added to them.

    Args:
        folder: of ``check_output``.
        identity: what is the same in results that belong together, such as fingerprints and the seed.
        overwrite: replace results of another evaluation.

    Raises:
        UsageError: if there are results of another evaluation.
    """
    found = results_in(folder / RESULTS, MADE_BY)
    if found is None:
        return {}
    changed = [name for name, value in identity.items() if found.get(name) != value]
    if not changed:
        return found
    if not overwrite:
        raise UsageError(
            f"{folder / RESULTS} is of another evaluation ({' and '.join(changed)} differ): give another --output, or "
            "--overwrite true to replace it."
        )
    return {}


def joined_baselines(earlier: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Baselines of earlier results with those that were found now.

    Those that were not evaluated now stay only beside figures that are the same as before: others may be of other
    labels, or of an encoder that was fine-tuned in another way.

    Args:
        earlier: results in the folder.
        found: what ``evaluation.evaluate`` gives.
    """
    changed = {name for name in earlier if name in found and found[name] != earlier[name]}
    joined = {
        name: {protocol: record for protocol, record in records.items() if protocol not in changed}
        for name, records in earlier.get("baselines", {}).items()
    }
    for name, records in found["baselines"].items():
        joined[name] = {**joined.get(name, {}), **records}
    return joined


def check_same_encoder(earlier: Mapping[str, Any], protocols: Sequence[str], freeze: bool) -> None:
    """Refuses to replace figures of a frozen encoder by those of a fine-tuned one, or the other way around.

    Args:
        earlier: results in the folder.
        protocols: that are asked for.
        freeze: whether detection leaves the encoder as it is.

    Raises:
        UsageError: if detection has been run the other way.
    """
    asked = FROZEN if freeze else FINE_TUNED
    if DETECTION not in protocols or DETECTION not in earlier:
        return
    for record in earlier[DETECTION].values():
        if (there := record.get("encoder", FROZEN)) != asked:
            raise UsageError(
                f"detection in the results is over a {there} encoder, and a {asked} one is asked for: give another "
                "--output, or --overwrite true to replace all results."
            )


def write(folder: Path, results: Mapping[str, Any], row: str) -> None:
    """Writes both files, each of them whole.

    Raises:
        RuntimeError: if they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # in this order: a row without results would be taken for one of another origin
        for name, text in ((RESULTS, json.dumps(_plain({"made_by": MADE_BY, **results}), indent=1)), (ROW, row)):
            with appearing(folder / name) as path:
                # a name of a file in the command may be no text
                path.write_text(text + "\n", encoding="utf-8", errors="replace")
    except OSError as error:
        raise RuntimeError(f"cannot write to {folder}: {error.strerror or error}.") from error


def _plain(value: Any) -> Any:
    """The same with null in place of numbers that are not finite, such as R2 of equal values, which JSON has not."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
