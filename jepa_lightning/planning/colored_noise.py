# F frequencies
"""Noise whose neighboring steps are alike, so that samples of actions go somewhere."""

import torch
from torch import Tensor


def colored(spectrum: Tensor, steps: int, beta: float) -> Tensor:
    """Noise whose power falls with the frequency f as ``f ** -beta``, with variance 1 at each step.

    Source: Timmer and König, "On generating power law noise", 1995. The constant part has the power of one period in
    all steps, since that of frequency 0 would be infinite.

    Args:
        spectrum: standard normal numbers ``[..., F, 2]``, F = steps // 2 + 1.
        steps: length of the noise.
        beta: exponent.

    Returns:
        ``[..., steps]``.
    """
    frequencies = torch.fft.rfftfreq(steps, device=spectrum.device, dtype=spectrum.dtype)
    frequencies[0] = 1 / steps
    power = frequencies**-beta
    weight = torch.full_like(power, 2.0)  # a frequency stands for itself and for its negative
    real = [0, -1] if steps % 2 == 0 else [0]  # these are their own negatives
    weight[real] = 1.0
    amplitude = (power / (power * weight).sum()).sqrt() * steps / 2**0.5
    numbers = spectrum * amplitude[:, None]
    numbers[..., real, :] = numbers[..., real, :] * torch.tensor([2**0.5, 0.0]).to(numbers)
    rows = torch.view_as_complex(numbers.contiguous()).flatten(0, -2)
    noise: Tensor = torch.fft.irfft(rows, n=steps)
    return noise.reshape(*spectrum.shape[:-2], steps)
