import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, ProbeReport
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.named import NamedCallback


@pytest.mark.parametrize(
    ("build", "usual"), [(OnlineKNN, "knn"), (ProbeReport, "linear"), (CollapseMonitor, "collapse")]
)
def test_a_name_stands_in_the_key_of_the_state(build: type, usual: str) -> None:
    assert (build().name, build().state_key, build().is_renamed) == (usual, build.__qualname__, False)
    assert build(name=usual).state_key == build.__qualname__
    assert build(name="deep-2").state_key == f"{build.__qualname__}_deep-2"
    with pytest.raises(ValueError, match=rf"{build.__name__}\(name='a/b'\): use letters, digits"):
        build(name="a/b")


@pytest.mark.parametrize(("build", "kind"), [(OnlineKNN, OnlineProbe), (ProbeReport, ProbeReport)])
def test_equal_names_are_refused_among_callbacks_of_a_kind(build: type, kind: type[NamedCallback]) -> None:
    own, other = build(), type("Own", (build,), {})()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    own.require_own_name(Trainer(callbacks=[own, CollapseMonitor(name=own.name)], **options), kind)
    with pytest.raises(MisconfigurationException, match=f"{build.__name__} and Own both log as '{own.name}'"):
        own.require_own_name(Trainer(callbacks=[own, other], **options), kind)
