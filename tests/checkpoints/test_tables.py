import torch
from torch import nn

from jepa_lightning.checkpoints import tables_of_another_size


class Network(nn.Module):
    def __init__(self, size: int, learned: bool = False) -> None:
        super().__init__()
        table = torch.zeros(1, size, 4)
        if learned:
            self.register_parameter("pos_embed", nn.Parameter(table))
        else:
            self.register_buffer("pos_embed", table)
        self.register_buffer("other", table)


def test_computed_tables_of_another_size_are_found_and_learned_ones_never() -> None:
    large = nn.ModuleDict({"a": Network(9), "b": Network(4), "c": Network(9, learned=True)}).state_dict()
    small = nn.ModuleDict({"a": Network(4), "b": Network(4), "c": Network(4, learned=True)})
    assert tables_of_another_size(large, small) == {"a.pos_embed"}
    assert tables_of_another_size({}, small) == set()
