from torch.utils.data import DataLoader

from jepa_lightning.callbacks.probes.loaders import first_loader


def test_the_first_of_several_loaders() -> None:
    first, second = DataLoader([1]), DataLoader([2])  # type: ignore[arg-type]
    assert first_loader([first, second]) is first
    assert first_loader({"a": second, "b": [first]}) is second
