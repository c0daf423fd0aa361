import numpy as np
import pytest
import torch

STEPS = 600


@pytest.fixture
def linear(example):
    return example("linear_jepa.py")


@pytest.fixture
def data(linear):
    return linear.Data.digits()


def trained(linear, data, name):
    model = linear.LinearJEPA(data, linear.SETTINGS[name])
    for _ in range(STEPS):
        model.step()
    return model


def test_directions_are_the_principal_components_of_the_images(data):
    covariance = np.cov(data.images.numpy().T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    np.testing.assert_allclose(data.values.flip(0), values, atol=1e-9)
    overlap = np.abs(np.sum(vectors[:, ::-1][:, :8] * data.vectors.numpy()[:8].T, axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-9)


def test_the_loss_is_the_mean_of_that_of_sampled_views(linear, data):
    exact = linear.LinearJEPA(data, linear.Setting(start="large"))
    sampled = linear.LinearJEPA(data, linear.Setting(start="large", batch=20_000))
    exact.t = sampled.t = torch.randn(exact.w.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    expected = exact.loss(exact.w, exact.p, exact.q)
    torch.testing.assert_close(sampled.loss(sampled.w, sampled.p, sampled.q), expected, rtol=0.03, atol=0)


@pytest.mark.parametrize(
    "name", ["EMA, m = 0.9", "m = 0: the encoder is its own target", "weight decay 0.1, large start"]
)
def test_the_subspace_of_the_largest_components_is_learned(linear, data, name):
    model = trained(linear, data, name)
    assert model.angle() < 5
    decay, c = model.setting.decay, data.values[: linear.WIDTH]
    s = c + model.setting.noise
    # regression coefficients, and roots of s p^2 - c p + h = 0 with decay
    expected = (c + (c**2 - 4 * s * decay).sqrt()) / (2 * s)
    found = torch.linalg.eigvals(model.p).real.sort(descending=True).values
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("name", ["m = 1: a target that never moves", "predictor that sees the view"])
def test_without_the_conditions_of_the_theory_other_directions_stay(linear, data, name):
    assert trained(linear, data, name).angle() > 45


@pytest.mark.parametrize("name", ["no stop-gradient", "no predictor", "weight decay 1.5, from the components"])
def test_collapse_is_stable_where_the_theory_says_so(linear, data, name):
    model = trained(linear, data, name)
    assert model.w.norm() < 1e-3
    assert all(linear.predicted_rate(model.setting, float(c)) < 0 for c in data.values[: linear.WIDTH])


def test_weight_decay_leaves_as_many_modes_as_have_a_fixed_point(linear, data):
    model = trained(linear, data, "weight decay 0.75, from the components")
    alive = int((torch.linalg.svdvals(model.w) > linear.ALIVE).sum())
    c = data.values[: linear.WIDTH]
    assert alive == int((model.setting.decay < c**2 / (4 * (c + model.setting.noise))).sum()) == 3


def test_a_perturbation_of_collapse_grows_at_the_predicted_rate(linear, data):
    for name, setting in linear.SETTINGS.items():
        predicted = [linear.predicted_rate(setting, float(c)) for c in data.values[: linear.WIDTH]]
        assert linear.measured_rates(data, setting) == pytest.approx(predicted, rel=1e-4, abs=2e-6), name
    growing = [name for name, setting in linear.SETTINGS.items() if linear.predicted_rate(setting, 6.0) > 1e-6]
    assert growing == [
        "EMA, m = 0.9",
        "m = 0: the encoder is its own target",
        "m = 0.9, views sampled",
        "identical views",
    ]


def test_it_prints_a_table_and_draws(linear, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(linear, "SETTINGS", dict(list(linear.SETTINGS.items())[:2]))
    linear.main(["--steps", "20", "--out", str(tmp_path / "angles.png")])
    assert capsys.readouterr().out.count("| EMA, m = 0.9 |") == 1
    assert (tmp_path / "angles.png").stat().st_size > 1000
