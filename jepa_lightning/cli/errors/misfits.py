"""Checkpoints whose tensors are not those of the model, each in one line."""

import re

TAKE = "Take the class and the options that it was trained with."


def misfit(text: str) -> str:
    """What a checkpoint lacks, has too much of, or has in another size.

    Args:
        text: what ``load_state_dict`` says.
    """
    model = re.search(r"state_dict for (\w+)", text)
    keys = re.findall(r'(Missing|Unexpected) key\(s\) in state_dict: ("[^"]+")([^\n]*)', text)
    found = [f"{rest.count(',') + 1} {kind.lower()} ({first})" for kind, first, rest in keys]
    sizes = re.findall(r"size mismatch for (\S+): .*Size\(\[(.*)\]\) from .*Size\(\[(.*)\]\)", text)
    if sizes:
        name, there, here = sizes[0]
        found.append(f'{len(sizes)} of another size ("{name}": {there} there, {here} here)')
    return (
        f"the checkpoint does not fit {model[1] if model else 'the model'}, it has tensors {', '.join(found)}. {TAKE}"
    )


def misfit_of_shards(causes: list[str]) -> str | None:
    """The same of a folder of shards, of which torch names one tensor; None if it says something else.

    Args:
        causes: what each rank says.
    """
    for cause in causes:
        if lacks := re.search(r"Missing key in checkpoint state_dict: \w+\.(.+)\.$", cause):
            found = f'lacks "{lacks[1]}"'
        elif other := re.search(r"saved torch.Size\(\[(.*)\]\) .* torch.Size\(\[(.*)\]\) for \w+\.(.+)$", cause):
            found = f'has "{other[3]}" as {other[1]}, and here it is {other[2]}'
        else:
            continue
        return f"the checkpoint does not fit, it {found}. {TAKE}"
    return None
