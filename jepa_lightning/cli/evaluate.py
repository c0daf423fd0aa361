"""``jepa-lightning evaluate``: how good a frozen encoder is, on one's own labels."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from jepa_lightning.cli.device import chosen_device
from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.cli.evaluating.output import (
    RESULTS,
    ROW,
    check_output,
    check_same_encoder,
    earlier_results,
    joined_baselines,
    write,
)
from jepa_lightning.cli.evaluating.subjects import Shown, shown_by
from jepa_lightning.cli.evaluating.table import markdown, table
from jepa_lightning.cli.run_lock import locked
from jepa_lightning.cli.say import say
from jepa_lightning.data import JEPADataModule
from jepa_lightning.evaluation.average_precision import require_package
from jepa_lightning.evaluation.evaluate import Evaluation
from jepa_lightning.evaluation.evaluate import evaluate as run_protocols
from jepa_lightning.evaluation.feature_cache import UNNAMED
from jepa_lightning.evaluation.fingerprints import data_fingerprint
from jepa_lightning.evaluation.protocols import DETECTION, FINETUNE, NAMES, PROPAGATION
from jepa_lightning.evaluation.regression import names_by_label
from jepa_lightning.evaluation.tasks import Grid, Settings
from jepa_lightning.evaluation.tuned_detection import DetectionOptions
from jepa_lightning.options import PositiveInt, Seed, check_values
from jepa_lightning.report.provenance import command_line, versions

RANGES = {"seed": Seed, "image_size": PositiveInt, "clips": PositiveInt | None, "crops": PositiveInt | None}
NOT_DATA = ("batch_size", "num_workers", "pipeline")  # options that change no sample


def evaluate(arguments: Sequence[str]) -> None:
    """Evaluates an encoder by protocols, beside baselines, and writes what came of it.

    A run that was stopped or killed is continued by the same command; features are computed once for all protocols.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood, or the folder holds other results.
        ValueError: if the data cannot serve a protocol, or the checkpoint cannot be read.
        RuntimeError: if the results cannot be written.
    """
    parser = _parser()
    options = _parsed(parser, list(arguments))
    protocols = _protocols(options.protocol)
    if DETECTION in protocols:
        require_package()
    detection = _detection(options, protocols)
    if options.finetune and FINETUNE not in protocols:
        raise UsageError("--finetune is for the protocol finetune: add it to --protocol, or leave --finetune out.")
    folder = check_output(options.output)
    settings = Settings(options.grid, options.seed, chosen_device(options.device))
    begin = time.perf_counter()
    shown = shown_by(options, settings.device)
    with locked(folder):
        evaluations = _evaluations(parser, options, shown, settings, folder, detection)
        identity = {
            "encoder": shown.subjects[0].name,
            "encoder_fingerprint": shown.subjects[0].fingerprint(),
            "data_fingerprint": evaluations[0].data,
            "seed": options.seed,
            "grid": options.grid,
        }
        earlier = earlier_results(folder, identity, options.overwrite)
        check_same_encoder(earlier, protocols, detection.freeze)
        unfit = [name for name in protocols if not evaluations[0].serves(name)]
        if unfit:
            raise UsageError(f"pixels have no tokens and no weights: leave the protocol {unfit[0]} out.")
        found = run_protocols(evaluations, protocols, say)
        results: dict[str, Any] = {
            **earlier,
            **found,
            "baselines": joined_baselines(earlier, found),
            **identity,
            **_provenance(options, time.perf_counter() - begin),
        }
        write(folder, results, markdown(results, protocols))
    print(table(results, protocols))
    print(f"{folder / RESULTS} has all figures, and {folder / ROW} a row of Markdown.")


def _provenance(options: Namespace, seconds: float) -> dict[str, Any]:
    found = versions()
    return {
        "checkpoint": options.ckpt_path,
        "data": options.data.class_path.rpartition(".")[2],
        "command": command_line(),
        "commit": found.get("commit", ""),
        "versions": found,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
    }


def _evaluations(
    parser: ArgumentParser,
    options: Namespace,
    shown: Shown,
    settings: Settings,
    folder: Path,
    detection: DetectionOptions,
) -> list[Evaluation]:
    """Each subject on the data, which all of them are shown in the same way."""
    given, plain = options.data.init_args.as_dict(), options.clone()
    shown.show(options.data, plain.data, _protocols(options.protocol))
    data = _build(parser, options)
    loaders = data.memory_dataloader(), data.test_dataloader()
    settings = replace(settings, class_names=names_by_label(data.class_names, UNNAMED))
    described = {"data": options.data.class_path, **{k: v for k, v in given.items() if k not in NOT_DATA}}
    fingerprint = "".join(data_fingerprint(loader, described)[:32] for loader in loaders)
    named: dict[str, Any] = {name: getattr(data, name, None) for name in ("mask_names", "box_names")}
    named["detection"] = detection
    build = partial(_build, parser, plain)
    return [
        Evaluation(subject, loaders, fingerprint, folder, settings, options.labels, build, options.finetune, **named)
        for subject in shown.subjects
    ]


def _detection(options: Namespace, protocols: Sequence[str]) -> DetectionOptions:
    """Options of detection, of which there are none to give where it is not asked for."""
    try:
        found = DetectionOptions(**options.detection.as_dict())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if found != DetectionOptions() and DETECTION not in protocols:
        raise UsageError("--detection is for the protocol detection: add it to --protocol, or leave --detection out.")
    return found


def _build(parser: ArgumentParser, options: Namespace) -> JEPADataModule:
    data: JEPADataModule = parser.instantiate_classes(options).data
    data.setup()
    return data


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    try:
        options: Namespace = parser.parse_args(arguments)
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    try:
        check_values("evaluate", RANGES, options.as_dict())
    except ValueError as error:
        raise UsageError(str(error)) from None
    return options


def _protocols(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.strip("[]").split(",")))
    if PROPAGATION in names and len(names) > 1:
        raise UsageError(
            "propagation is shown whole videos, and the other protocols views: give it in a call of its own."
        )
    if unknown := [name for name in names if name not in NAMES]:
        raise UsageError(f"there is no protocol '{unknown[0]}': give some of {', '.join(NAMES)}, such as linear,knn.")
    return names


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning evaluate",
        description="Evaluates the frozen encoder of a checkpoint of any method on data with labels, beside random "
        "weights and raw pixels. Options of classifiers are chosen on a part of the training samples; the test samples "
        "(the validation samples of the DataModule) are for the figures alone. Features are computed once and kept in "
        "the output folder; a run that was stopped or killed continues when the same command is given again, and "
        "further protocols are added to the results. Example: jepa-lightning evaluate "
        "--ckpt_path logs/IJEPA/version_0/checkpoints/last.ckpt --data ImageFolderDataModule --data.root DIR "
        "--protocol linear,knn --output OUT",
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--ckpt_path", type=str | None, default=None, help="Checkpoint of a module of this package, or of your own.")
    add("--model", type=str | None, default=None, help="The class of the checkpoint, where it is your own: my.Own.")
    add(
        "--encoder",
        type=str | None,
        default=None,
        help="In the place of a checkpoint: timm:NAME with timm's weights, which are downloaded unless they are in its "
        "cache; random, untrained weights of the checkpoint's method, or of vit_small without one; pixels; or a class "
        "of your own, my.Encoder, which is built without arguments and brings its weights. Beside a checkpoint whose "
        "encoder is a class of your own: that class.",
    )
    add("--image_size", type=int, default=224, help="Size of views in pixels, where there is no checkpoint.")
    parser.add_subclass_arguments(
        JEPADataModule, "data", required=True, help="The data, with its options, such as --data.root."
    )
    add(
        "--protocol",
        type=str,
        default="linear,knn",
        help=f"Some of {', '.join(NAMES)}, separated by commas; "
        "propagation by itself, and, for an encoder of clips, those on labels of pixels by themselves.",
    )
    add("--output", type=str, required=True, help="Folder for results.json, results.md and the features.")
    add("--labels", type=list[str], default=[], help="Labels to evaluate, as in [shape,count]; by default all.")
    add("--baselines", type=bool, default=True, help="Evaluate random weights and raw pixels too.")
    add("--grid", type=Grid, default="quick", help="Options that are compared: a few, or the published ones.")
    add("--finetune", type=dict[str, Any], default={}, help="Options of Classifier, epochs and ema, for finetune.")
    add("--detection", type=DetectionOptions, default=DetectionOptions(), help="How detection treats the encoder.")
    add("--clips", type=int | None, default=None, help="Clips of a video, whose features are averaged.")
    add("--crops", type=int | None, default=None, help="Crops of each clip, whose features are averaged.")
    add("--seed", type=int, default=0, help="Seed of random weights and of all draws of samples.")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, or auto: a GPU if there is one.")
    add("--overwrite", type=bool, default=False, help="Replace results of another evaluation in the folder.")
    return parser
