"""Loading takes little more memory than the file has; sizes are read before memory is taken."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jepa_lightning.interop.empty import without_weights
from jepa_lightning.nn import VIT_SIZES, VisionTransformer

MEASURE = """
import re, sys
from pathlib import Path
from jepa_lightning.interop import load_reference

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

load_reference(sys.argv[2], heads=3)  # all is imported
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = kilobytes("VmRSS")
encoder, _ = load_reference(sys.argv[1])
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there the peak can be set back")
def test_a_large_encoder_takes_less_than_1_3_times_its_file(tmp_path: Path) -> None:
    with without_weights():
        large, small = VisionTransformer(224, 16, *VIT_SIZES["vit_base"]), VisionTransformer(16, 8, 48, 1, 3)
    for name, network in (("large.pt", large), ("small.pt", small)):
        state = {key: torch.ones(value.shape) for key, value in network.state_dict().items()}
        torch.save({"target_encoder": state}, tmp_path / name)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "large.pt"), str(tmp_path / "small.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    size = (tmp_path / "large.pt").stat().st_size
    assert size > 3e8
    taken = int(done.stdout.splitlines()[-1])
    assert 0.5 * size < taken <= 1.3 * size
