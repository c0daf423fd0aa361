"""``jepa-lightning pack``: files into shards for the streaming DataModules."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser
from tqdm import tqdm

from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.data.folder import FilesDataModule, FolderDataModule
from jepa_lightning.data.images.masks import MaskFolderDataModule
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.records import is_address
from jepa_lightning.data.shards.writer import write_shards


def pack(arguments: Sequence[str]) -> None:
    """Writes shards. A run that was stopped or killed resumes when the command is given again.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there are no files.
        ValueError: if the output holds something else, or a value is out of its range.
        RuntimeError: if a file cannot be read or written, or the run is stopped.
    """
    parser = _parser()
    try:
        options = parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    if is_address(options.output):
        raise UsageError(f"--output {options.output} is an address: write to a folder, and upload that.")
    data: FilesDataModule = parser.instantiate_classes(options).data
    if data.in_channels is not None:
        raise UsageError("in_channels has no effect, since images in shards are read as RGB: leave it out.")
    if isinstance(data, MaskFolderDataModule):
        raise UsageError(
            "shards hold no masks: pack the images alone, with --data ImageFolderDataModule --data.root "
            f"{data.root}, or read the folder as it is."
        )
    output = Path(options.output).expanduser()
    # shards in the folder of the files would be taken for files, or hide them
    root = data.root.resolve()
    if output.resolve() == root:
        raise UsageError(f"--output {output} is the folder of the files themselves: give another one.")
    if isinstance(data, FolderDataModule) and output.resolve().is_relative_to(root):
        raise UsageError(f"--output {output} is inside the folder of the files, {data.root}: give another one.")
    try:
        plan = plan_shards(data, options.shard_mb)
        files = {name: sum(map(len, shards)) for name, shards in plan.splits.items()}
        with tqdm(total=sum(files.values()), unit="file", delay=0.1) as bar:
            written = write_shards(plan, output, bar.update)
    except KeyboardInterrupt as error:
        raise RuntimeError(f"stopped: the same command resumes the shards in {output}.") from error
    except OSError as error:
        if error.strerror is None:  # one of ours
            raise
        raise RuntimeError(f"cannot write to {output}: {error.strerror}.") from error
    shards = sum(map(len, plan.splits.values()))
    print(
        f"{output} {'holds' if written else 'held already'} {files['train']} {plan.kind} to train on and "
        f"{files['val']} to validate on, in {shards} shards. "
        f"To train on them: jepa-lightning fit --model MODEL --data Streaming{plan.kind.capitalize()[:-1]}DataModule "
        f"--data.root {output}"
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning pack",
        description="Packs image or video files into shards of many files each, to be read from a disk or an object "
        "store by StreamingImageDataModule or StreamingVideoDataModule. The files are copied as they are, split into "
        "train and val as in training. A run that was stopped resumes when the same command is given again. Example: "
        "jepa-lightning pack --data ImageFolderDataModule --data.root DIR --output SHARDS",
        exit_on_error=False,
    )
    parser.add_subclass_arguments(
        FilesDataModule,
        "data",
        required=True,
        help="Which files: ImageFolderDataModule, VideoFolderDataModule or VideoManifestDataModule, with its options, "
        "such as --data.root",
    )
    parser.add_argument("--output", type=str, required=True, help="Folder for the shards, outside of --data.root.")
    parser.add_argument("--shard_mb", type=float, default=64.0, help="Size of a shard in MB, at most 4278.")
    return parser
