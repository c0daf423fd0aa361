"""``jepa-lightning consolidate``: a checkpoint that is a folder of shards into one file."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from jepa_lightning.checkpoints import CheckpointFiles, disk_fault, present, read_shards
from jepa_lightning.cli.errors import UsageError, explain_usage


def consolidate(arguments: Sequence[str]) -> None:
    """Writes one ordinary file, for ``load_from_checkpoint`` and to resume under any strategy.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there is no such folder.
        ValueError: if the folder is no checkpoint, or lacks a piece, or the file is there already.
        RuntimeError: if the file cannot be written.
    """
    if not arguments:
        raise UsageError("give the folder of shards and the file to write: jepa-lightning consolidate DIR OUT.")
    try:
        options = _parser().parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error), "output")) from error
    folder, output = present(Path(options.folder)), Path(options.output)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is a file already." if folder.is_file() else f"there is no checkpoint {folder}."
        )
    if output.exists():
        raise ValueError(f"{output} is there already: remove it, or give another name.")
    checkpoint = read_shards(folder)
    try:
        CheckpointFiles().save_checkpoint(checkpoint, output)
    except (OSError, RuntimeError) as error:
        raise RuntimeError(f"cannot write {output}: {disk_fault(error) or error}. {folder} is as it was.") from error
    print(f"{output} holds the checkpoint of step {checkpoint['global_step']}, {output.stat().st_size / 1e6:.1f} MB")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning consolidate",
        description="Makes one ordinary file of a checkpoint that is a folder of shards, as FSDP2 and FSDP1 write "
        "them. The checkpoint has to fit into the memory of this machine; no GPU is needed.",
        exit_on_error=False,
    )
    parser.add_argument("folder", type=str, help="The checkpoint, such as logs/IJEPA/version_0/checkpoints/last.ckpt.")
    parser.add_argument("output", type=str, help="The file to write, which must not be there yet.")
    return parser
