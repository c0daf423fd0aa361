"""Everything that a machine with one GPU is needed for, in under 8 minutes and without a network.

python examples/benchmarks/gpu_check.py --out gpu_check
python examples/benchmarks/gpu_check.py --tiny --out gpu_check          (at tiny sizes, for a CPU too)

Four parts, each in a process of its own with a limit of time after which it is killed, so that a part that fails or
hangs takes nothing from the others:

methods    20 steps of every method in fp32, bf16, under FSDP2, and compiled, against the losses of a CPU
speed      a step of IJEPA ViT-L/16 and ViT-H/14 and of VJEPA ViT-L/16: samples a second, share of the rate of matrix
           products, memory, and a plain loop on the same networks
profile    one step: how long the device is idle, the gaps, and in every method what makes the host wait
training   the quickstart and configs/ijepa/small.yaml at full size, on scenes and on a folder of images

OUT.json and OUT.md are written after each part. The exit status is 1 where a check failed or losses do not agree.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning
import torch
import torchvision
from gpu_part import Part, write_json
from gpu_report import TITLES, markdown

sys.path.append(str(Path(__file__).parents[1]))
from new_files import path_of

# seconds of each part, at the end of which its process is killed; the sum is the length of the whole check
LIMITS = {"methods": 130, "speed": 110, "profile": 45, "training": 175}
GRACE = 15  # seconds before that, from which no check is begun
PARTS = tuple(LIMITS)


def check(name: str, options: argparse.Namespace) -> None:
    """One part, in this process."""
    from importlib import import_module

    part = Part(options.part_file, options.seconds)
    import_module(f"gpu_{name}").check(part, options)


def in_process(name: str, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of a part that runs in a process group of its own, which is killed at its limit."""
    path, limit = folder / f"{name}.json", LIMITS[name] * options.minutes / DEFAULT_MINUTES
    command = [sys.executable, str(Path(__file__).resolve()), "--part", name, "--part-file", str(path)]
    command += ["--seconds", str(limit - GRACE), "--work", str(folder), "--device", options.device]
    command += [f"--{name}" for name in ("tiny", "eager") if getattr(options, name)]
    command += ["--folder", str(options.folder.resolve())] if options.folder else []
    command += ["--methods", *options.methods] if options.methods else []
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=limit)
        end = f"exit status {process.returncode}: {said.strip().splitlines()[-1:]}" if process.returncode else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        end = f"killed after {limit:.0f} s"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return [*rows, {"name": name, "error": end}] if end else rows


def system(device: str, tiny: bool) -> dict[str, str]:
    """Device, sizes and versions."""
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU"
    versions = {module.__name__: module.__version__ for module in (torch, torchvision, lightning)}
    sizes = "tiny ones, as a trial" if tiny else "full"
    return {"device": name, "sizes": sizes, "cores": str(os.cpu_count()), **versions}


def failed(report: dict[str, Any]) -> bool:
    """Whether a check failed or losses are not those of the CPU."""
    rows = [row for part in report["parts"].values() for row in part]
    return any("error" in row or row.get("agrees") is False for row in rows)


DEFAULT_MINUTES = sum(LIMITS.values()) / 60


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="writes OUT.json and OUT.md")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and few steps: a trial of this script")
    parser.add_argument("--eager", action="store_true", help="leaves out what is compiled")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--methods", nargs="+", help="of the first and the third part; default: all")
    parser.add_argument("--folder", type=Path, help="images for the last part; default: scenes written as JPEG")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="for all four parts together")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    for name, kind in {"--part": str, "--part-file": Path, "--seconds": float, "--work": Path}.items():
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.part:
        check(options.part, options)
        return 0
    if options.device == "cpu" and not options.tiny:
        parser.error("there is no CUDA device here: give --tiny for a trial on the CPU.")
    if options.minutes * 60 * min(LIMITS.values()) / sum(LIMITS.values()) <= 2 * GRACE:
        parser.error(f"--minutes {options.minutes}: that leaves a part less than {2 * GRACE} s.")
    for path in (path_of(options.out, ".json"), path_of(options.out, ".md")):
        if path.exists():
            parser.error(f"{path} exists, and it is left as it is: give another --out, or remove it.")
    report: dict[str, Any] = {"system": system(options.device, options.tiny), "parts": {}}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for name in (name for name in TITLES if name in options.parts):
            print(f"== {name}", flush=True)
            report["parts"][name] = in_process(name, Path(work), options)
            write_json(path_of(options.out, ".json"), report)
            path_of(options.out, ".md").write_text(markdown(report))
    print(f"written to {path_of(options.out, '.json')} and {path_of(options.out, '.md')}")
    return int(failed(report))


if __name__ == "__main__":
    sys.exit(main())
