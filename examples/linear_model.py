# d input width, k feature width, n samples
"""The linear JEPA of `linear_jepa.py`: its data, the ways to train it, and its steps."""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from torch import Tensor

WIDTH = 4  # k
START = 0.3  # p at the start: below c_i / s_i of the modes to be learned
RATE = 0.1  # r
TINY = 1e-30  # of the perturbation of the collapsed point: far from where W moves P, after any growth measured here


class Setting(NamedTuple):
    """One way to train.

    Attributes:
        momentum: m.
        gradient: send the gradient through the target as well, which is then the encoder itself.
        predictor: ``learned``, ``none`` (the identity), ``optimal`` at each step, or ``leaky``, which sees the view.
        decay: h, on W and P.
        noise: v.
        batch: images in a step, whose views are sampled; 0 takes the expectation over all images and views.
        start: ``small`` is near collapse, with P = START I; ``large`` is a random W with orthonormal rows and P = I;
            ``modes`` is P = I with the k largest principal components themselves as W.
    """

    momentum: float = 0.9
    gradient: bool = False
    predictor: str = "learned"
    decay: float = 0.0
    noise: float = 1.0
    batch: int = 0
    start: str = "small"


class Data(NamedTuple):
    """Centered images ``[n, d]``, and by NumPy's SVD eigenvalues ``[d]`` and eigenvectors ``[d, d]`` (rows) of C."""

    images: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def digits(cls) -> "Data":
        """The 8 x 8 digits that come with scikit-learn, scaled to a largest eigenvalue of 6."""
        images = load_digits().data
        images = images - images.mean(axis=0)
        _, singular, vectors = np.linalg.svd(images, full_matrices=False)
        scale = math.sqrt(6 / (singular[0] ** 2 / len(images)))
        values = (scale * singular) ** 2 / len(images)
        return cls(*map(torch.from_numpy, (scale * images, values, vectors)))


class LinearJEPA:
    """W, P, T and Q, and one step of gradient descent.

    Args:
        data: images.
        setting: how to train.
        seed: of W and of sampled views.
        tiny: start at the collapsed point but for a perturbation of size TINY within the k largest components.
    """

    def __init__(self, data: Data, setting: Setting, seed: int = 0, tiny: bool = False) -> None:
        self.data, self.setting, self.rate = data, setting, RATE
        self.draw = torch.Generator().manual_seed(seed)
        d = data.images.shape[1]
        self.w = 1e-3 * torch.randn(WIDTH, d, dtype=torch.double, generator=self.draw)
        if tiny:
            self.w = TINY * torch.randn(WIDTH, WIDTH, dtype=torch.double, generator=self.draw) @ data.vectors[:WIDTH]
        elif setting.start == "modes":
            self.w = data.vectors[:WIDTH].clone()
        elif setting.start == "large":
            self.w = torch.linalg.qr(self.w.T)[0].T.contiguous()
        self.p = start_of_predictor(setting, tiny) * torch.eye(WIDTH, dtype=torch.double)
        self.q = torch.zeros(WIDTH, d, dtype=torch.double)
        self.t = self.w.clone()
        self.c = data.images.T @ data.images / len(data.images)
        self.s = self.c + setting.noise * torch.eye(d, dtype=torch.double)

    def loss(self, w: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Half the mean squared error of the prediction: a scalar."""
        target = w if self.setting.gradient else self.t
        predict = p @ w + q
        if self.setting.batch:
            chosen = torch.randint(len(self.data.images), (self.setting.batch,), generator=self.draw)
            first, second = (self._view(self.data.images[chosen]) for _ in range(2))
            return (first @ predict.T - second @ target.T).square().sum(dim=1).mean() / 2
        return ((predict @ self.s * predict).sum() - 2 * (predict @ self.c * target).sum()
                + (target @ self.s * target).sum()) / 2  # fmt: skip

    def step(self) -> None:
        """Gradient descent on W, P and Q, then the moving average."""
        kind = self.setting.predictor
        if kind == "optimal":
            self.p = torch.linalg.solve(self.w @ self.s @ self.w.T, self.w @ self.c @ self.t.T).T
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (self.w, self.p, self.q)]
            slopes = torch.autograd.grad(self.loss(*leaves), leaves)
        shrink = 1 - self.rate * self.setting.decay
        self.w = shrink * self.w - self.rate * slopes[0]
        if kind in ("learned", "leaky"):
            self.p = shrink * self.p - self.rate * slopes[1]
        if kind == "leaky":
            self.q = self.q - self.rate * slopes[2]
        self.t = self.setting.momentum * self.t + (1 - self.setting.momentum) * self.w

    def angle(self) -> float:
        """The largest principal angle between the rows of W and the top-k principal components, in degrees."""
        return math.degrees(float(subspace_angles(self.w.T.numpy(), self.data.vectors[:WIDTH].T.numpy())[0]))

    def _view(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape, dtype=torch.double, generator=self.draw)
        return images + math.sqrt(self.setting.noise) * noise


def start_of_predictor(setting: Setting, tiny: bool) -> float:
    """P of the first P = p I; with weight decay the collapsed point has P = 0 too."""
    if tiny and setting.decay:
        return TINY
    return 1.0 if setting.predictor == "none" or (setting.start != "small" and not tiny) else START
