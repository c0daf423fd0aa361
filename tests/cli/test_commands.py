from importlib import import_module

from jepa_lightning.cli.commands import TOOLS, TRAINER_COMMANDS, overview


def test_the_overview_lists_every_command_with_what_it_does() -> None:
    lines = [line.split(maxsplit=1) for line in overview().splitlines() if line.startswith("  ")]
    does = {**TRAINER_COMMANDS, **{name: tool.does for name, tool in TOOLS.items()}}
    assert dict(lines) == does


def test_the_path_of_every_tool_leads_to_a_function() -> None:
    for tool in TOOLS.values():
        module, _, function = tool.runs.rpartition(".")
        assert callable(getattr(import_module(module), function))
