"""Repositories on the hub of Hugging Face."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from jepa_lightning.interop.huggingface_processor import PROCESSORS
from jepa_lightning.interop.reading import CONFIG, INDEX, PICKLED, WEIGHTS

FILES = [CONFIG, WEIGHTS, INDEX, PICKLED, "model-*.safetensors", *PROCESSORS]


REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # ./model and ../model are paths
# ends of names of files; what else follows a point is part of a name, as in vit-1.5
ENDINGS = (".bin", ".ckpt", ".onnx", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".tar")


def is_repository(source: Any) -> bool:
    """Whether a source can be ``OWNER/NAME`` alone: there is no such path, and it does not end like a file."""
    path = Path(source)
    is_file = path.suffix.lower() in ENDINGS
    return not path.expanduser().exists() and not is_file and bool(REPOSITORY.fullmatch(str(source)))


def hub_folder(name: str, **options: Any) -> Path:
    """The folder of a repository in the local cache, downloaded if need be.

    Args:
        name: ``OWNER/NAME``.
        options: of ``huggingface_hub.snapshot_download``, such as ``revision`` and ``local_files_only``.

    Raises:
        FileNotFoundError: if it is neither in the cache nor to be reached.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=FILES, **options))
    except Exception as error:  # the hub's errors are of many kinds
        said = " ".join(str(error).split())[:200]
        raise FileNotFoundError(
            f"there is no {name} on this disk, and no repository of that name could be fetched ({said}): where there "
            f"is a network, run `hf download {name}`, and give the path that it prints."
        ) from error
