# d input width, k feature width
"""A linear JEPA, where theory says everything: it learns principal components, and its collapsed point is unstable.

python examples/linear_jepa.py --out linear_jepa.png

Setting. Images x have covariance C with eigenvalues c_1 > c_2 > ... Two views are x plus independent noise of variance
v, so a view has covariance S = C + v I, with eigenvalues s_i = c_i + v, and two views of an image have covariance C.
The encoder is W [k, d], the predictor P [k, k], the target encoder T [k, d]. With stop-gradient T is a constant in

    loss = E |P W x1 - T x2|^2 / 2 = tr(P W S W' P' - 2 P W C T' + T S T') / 2.

A step of size r moves W by r P'(T C - P W S) and P by r (T C - P W S) W', and then T to m T + (1 - m) W. Nothing is
approximated below but small perturbations.

Collapse. W = T = 0 is a fixed point for every P. Near it P does not move (its gradient is of second order). With
P = p I, the component (w, t) of a row along eigenvector i follows

    w <- (1 - r p^2 s_i) w + r p c_i t,    t <- m t + (1 - m) w,

and the larger eigenvalue of that 2 x 2 matrix is above 1 if and only if 0 < p < c_i / s_i and m < 1. So collapse is
unstable, for every m < 1, m = 0 included. Its logarithm is the predicted growth rate.

What is learned. W = T, P invertible and T C = P W S make a fixed point: the rows of W span k eigenvectors, and P has
the regression coefficients p_i = c_i / s_i of one view on the other. A row of mode i that is tilted towards another
eigenvector j follows the same map with p = p_i and c_j, s_j, so the tilt grows if and only if c_j / s_j > c_i / s_i,
which is c_j > c_i. At one such span alone no tilt grows: that of the k largest principal components.

Where that fails, by the same algebra:
- m = 1: T never moves, and W learns the span of T C / S, whatever T was drawn as. From collapse nothing grows.
- no stop-gradient: w <- (1 - r (s_i (1 + p^2) - 2 p c_i)) w, which shrinks for every p, since s_i > c_i.
- no predictor, P = I: 1 > c_i / s_i, so collapse is stable.
- an optimal predictor at every step (as if it learned infinitely fast): p = c_i / s_i exactly, the boundary: neither
  growth nor decay. Directions are still learned, and the norm stays as small as it was.
- a predictor that sees the view itself, P W + Q: w - p q is conserved and nothing grows; Q fits the target for any W.
- identical views, v = 0: all c_i / s_i are 1, so no direction is preferred.
- weight decay h on W and P: near W = P = 0 both shrink by 1 - r h a step, so that collapse is stable. Away from it
  P'P = W W' holds, s_i p_i^2 - c_i p_i + h = 0, and mode i lives only if h < c_i^2 / (4 s_i).

The learning of modes in the order of c_i / s_i and the role of weight decay follow Tian, Chen and Ganguli,
arXiv 2102.06810, and Littwin et al., arXiv 2407.03475; the discrete rates above are derived here.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from linear_model import RATE, WIDTH, Data, LinearJEPA, Setting, start_of_predictor
from new_files import refuse_existing

matplotlib.use("Agg")
from matplotlib import pyplot

ALIVE = 1e-3  # a singular value of W below it is collapsed: the first ones are near 0.01


def predicted_rate(setting: Setting, c: float) -> float:
    """Logarithm of the growth of mode c near collapse in a step: of the largest eigenvalue of its map of (w, t, q)."""
    s, m, r = c + setting.noise, setting.momentum, RATE
    p = c / s if setting.predictor == "optimal" else start_of_predictor(setting, tiny=True)
    keep, leaky = 1 - r * setting.decay, float(setting.predictor == "leaky")
    if setting.gradient:
        return math.log(keep - r * (s * (1 + p**2) - 2 * p * c))
    move = np.array([[keep - r * p * p * s, r * p * c, -leaky * r * p * s], [0, 1, 0],
                     [-leaky * r * p * s, leaky * r * c, 1 - leaky * r * s]])  # fmt: skip
    average = np.array([[1, 0, 0], [1 - m, m, 0], [0, 0, 1]])
    size = 3 if leaky else 2
    return math.log(max(abs(np.linalg.eigvals((average @ move)[:size, :size]))))


def measured_rates(data: Data, setting: Setting) -> list[float]:
    """The same of each of the k modes in the simulation, over the second half of its first steps."""
    # without an average there is nothing to settle, and modes that shrink fast soon sink below rounding
    steps = 40 if setting.gradient else 400
    model, sizes = LinearJEPA(data, setting._replace(batch=0), tiny=True), []
    for at in range(steps + 1):
        if at in (steps // 2, steps):
            sizes.append((model.w @ data.vectors[:WIDTH].T).norm(dim=0))
        model.step()
    return ((sizes[1] / sizes[0]).log() / (steps - steps // 2)).tolist()


SETTINGS = {
    "EMA, m = 0.9": Setting(),
    "m = 0: the encoder is its own target": Setting(momentum=0.0),
    "m = 0.9, views sampled": Setting(batch=512),
    "m = 1: a target that never moves": Setting(momentum=1.0),
    "no stop-gradient": Setting(momentum=0.0, gradient=True),
    "no predictor": Setting(predictor="none"),
    "optimal predictor at each step": Setting(momentum=0.0, predictor="optimal"),
    "predictor that sees the view": Setting(predictor="leaky"),
    "identical views": Setting(noise=0.0),
    "weight decay 0.1, large start": Setting(momentum=0.0, decay=0.1, start="large"),
    "weight decay 0.75, from the components": Setting(momentum=0.0, decay=0.75, start="modes"),
    "weight decay 1.5, from the components": Setting(momentum=0.0, decay=1.5, start="modes"),
}


class Result(NamedTuple):
    """What a setting ends with.

    Attributes:
        angles: to the top-k subspace, in degrees, every few steps.
        size: largest singular value of W.
        alive: singular values of W above ALIVE.
        measured: growth rates of the k modes near collapse.
        predicted: by theory.
    """

    angles: list[float]
    size: float
    alive: int
    measured: list[float]
    predicted: list[float]


def run(data: Data, setting: Setting, steps: int, seed: int = 0) -> Result:
    """Trains, with steps that become smaller in the second half where views are sampled."""
    model, angles = LinearJEPA(data, setting, seed), []
    for at in range(steps):
        if setting.batch:
            model.rate = RATE * min(1.0, 2 - 2 * at / steps)
        model.step()
        if (at + 1) % (steps // 20) == 0:
            angles.append(model.angle())
    sizes = torch.linalg.svdvals(model.w)
    predicted = [predicted_rate(setting, float(c)) for c in data.values[:WIDTH]]
    return Result(angles, float(sizes[0]), int((sizes > ALIVE).sum()), measured_rates(data, setting), predicted)


def table(results: dict[str, Result]) -> str:
    """Markdown; rates are those of the first mode, in 1e-3 a step, and the largest error is over all k."""
    lines = ["| setting | angle, degrees | size of W | modes alive | growth measured | predicted | largest error |"]
    lines.append("| --- |" + " --- |" * 6)
    for name, result in results.items():
        error = max(abs(a - b) for a, b in zip(result.measured, result.predicted, strict=True))
        angle = f"{result.angles[-1]:.2f}" if result.alive == WIDTH else "-"
        rates = [f"{1000 * rate:+.3f}" for rate in (result.measured[0], result.predicted[0])]
        lines.append(
            f"| {name} | {angle} | {result.size:.2g} | {result.alive} | {' | '.join(rates)} | {1000 * error:.1e} |"
        )
    return "\n".join(lines)


def plot(results: dict[str, Result], steps: int, path: Path) -> None:
    """Angles over training, and measured growth rates over predicted ones."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for i, (name, result) in enumerate(results.items()):
        color = pyplot.get_cmap("tab20")(i)
        at = [steps // 20 * (k + 1) for k in range(len(result.angles))]
        if result.alive == WIDTH:
            left.plot(at, result.angles, color=color)
        right.plot(result.predicted, result.measured, "o", color=color, label=name)
    left.axhline(5, color="gray", linestyle=":")
    left.set(xlabel="step", ylabel="largest principal angle, degrees", title="to the top 4 principal components")
    ends = right.get_xlim()
    right.plot(ends, ends, color="gray", linewidth=0.8, zorder=0)
    right.set(xlabel="predicted", ylabel="measured", title="growth near collapse, log a step")
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=80)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of gradient descent; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of data and weights; default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("linear_jepa.png"), help="writes the figure to this file; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    refuse_existing(options.out)
    data = Data.digits()
    results = {name: run(data, setting, options.steps, options.seed) for name, setting in SETTINGS.items()}
    plot(results, options.steps, options.out)
    print(f"{table(results)}\n\nwritten to {options.out}")


if __name__ == "__main__":
    main()
