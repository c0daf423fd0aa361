import pytest
import torch


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Training ends with a linear probe")
def test_trains_and_reloads_with_the_statistics_of_the_data(example, capsys):
    example("spectrograms.py").main(["--steps", "20"])
    assert "features of a rising tone: (1, 96)" in capsys.readouterr().out
    saved = torch.load("spectrograms.ckpt", weights_only=True)
    assert saved["global_step"] == 20
    assert 0 < saved["hyper_parameters"]["mean"][0] < 1


def test_a_tone_is_a_row_of_its_frequency(example):
    spectrograms = example("spectrograms.py")
    time = torch.arange(spectrograms.SAMPLES) / spectrograms.RATE
    image = spectrograms.spectrogram(torch.sin(2 * torch.pi * 1000 * time))
    assert image.shape == (1, 64, 64)
    assert image[0, :, 30].argmax() == 32  # rows of 8000 / 256 Hz
    assert image.max() <= 1
    assert image.min() >= 0
