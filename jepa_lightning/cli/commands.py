"""The commands of ``jepa-lightning``, by name; nothing is imported to list them."""

from typing import NamedTuple


class Tool(NamedTuple):
    """A command of this package's own: the function that runs it, by its path, and what it does."""

    runs: str
    does: str


TRAINER_COMMANDS = {
    "fit": "train a model",
    "validate": "measure a model on the validation data",
    "test": "measure a model on the test data",
    "predict": "write the features of each sample to a file",
}
TOOLS = {
    "methods": Tool("jepa_lightning.cli.methods.methods", "print what each method predicts and needs"),
    "evaluate": Tool(
        "jepa_lightning.cli.evaluate.evaluate", "judge a frozen encoder on your labels, by many protocols"
    ),
    "inspect-run": Tool("jepa_lightning.cli.inspect_run.inspect_run", "write the report of a run as one HTML file"),
    "inspect": Tool("jepa_lightning.cli.inspect_file.inspect_file", "print what a file of weights holds"),
    "convert": Tool("jepa_lightning.cli.convert.convert", "write weights in the form of another library"),
    "export": Tool("jepa_lightning.cli.export.export_encoder", "write an encoder as ONNX or for torch.export"),
    "plan": Tool("jepa_lightning.cli.plan.plan", "plan with a world model, and measure how often goals are reached"),
    "pack": Tool("jepa_lightning.cli.pack.pack", "write images or videos into shards, to be streamed"),
    "optimize": Tool("jepa_lightning.cli.pack.pack", "former name of pack"),
    "collect": Tool(
        "jepa_lightning.cli.collect.collect", "record episodes in an environment, to train world models on"
    ),
    "consolidate": Tool("jepa_lightning.cli.consolidate.consolidate", "make one file of a checkpoint in shards"),
}


def overview() -> str:
    """What ``jepa-lightning --help`` prints."""
    rows = {**TRAINER_COMMANDS, **{name: tool.does for name, tool in TOOLS.items()}}
    width = max(map(len, rows))
    return "\n".join(
        [
            "usage: jepa-lightning [--help] [--version] COMMAND ...",
            "",
            "Trains and evaluates joint-embedding predictive architectures and their baselines.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {does}" for name, does in rows.items()),
            "",
            "`jepa-lightning COMMAND --help` has the options of each.",
        ]
    )
