from typing import Any

from jepa_lightning.report.groups import grouped
from jepa_lightning.report.history import History, read_history


def sections(make: Any, start: dict[str, Any], *names: str) -> dict[str, dict[str, list[str]]]:
    """Labels of lines by section and chart."""
    found = {name.replace("/", "__"): float(place) for place, name in enumerate(names)}
    history, broken = read_history(make.lines([{**make.start, **start}, make.values(1, **found)]))
    assert not broken
    return {
        section: {chart.title: [line.label for line in chart.lines] for chart in charts}
        for section, charts in grouped(history).items()
    }


def test_probes_have_a_chart_for_each_label_with_flat_lines_last(history: History) -> None:
    probes = grouped(history)["Probes"]
    assert [chart.title for chart in probes] == ["shape", "color"]
    assert [(line.label, line.flat) for line in probes[0].lines] == [
        ("linear", False), ("knn", False), ("raw pixels", True), ("random init", True)
    ]  # fmt: skip
    assert all(chart.share for chart in probes)


def test_one_label_has_one_chart(make: Any) -> None:
    names = ("val/linear", "val/linear_raw_pixels", "val/linear/lr=1", "val/linear_mae")
    assert sections(make, {}, *names) == {"Probes": {"accuracy": ["linear", "raw pixels"]}}


def test_a_flat_line_of_a_probe_without_a_curve_names_it(make: Any) -> None:
    start = {"probes": ["attentive", "linear"]}
    found = sections(make, start, "val/attentive_shape", "val/linear_shape_raw_pixels", "val/linear_raw_pixels")
    assert found == {"Probes": {"shape": ["attentive", "raw pixels, linear"]}}


def test_a_name_that_begins_with_that_of_another_probe_is_its_own(make: Any) -> None:
    start = {"probes": ["linear", "linear_ema"]}
    found = sections(make, start, "val/linear_shape", "val/linear_ema_shape")
    assert found == {"Probes": {"shape": ["linear", "linear_ema"]}}


def test_measures_that_belong_together_have_one_chart(make: Any) -> None:
    names = ("m/energy_other", "m/energy", "m/rank", "m/effective_rank", "m/own", "m/alarm")
    assert sections(make, {"monitors": ["m"]}, *names) == {
        "Collapse": {
            "m: Rank of the features": ["RankMe", "effective"],
            "m: Energy of true pairs and others": ["true", "other image"],
            "m: own": ["own"],
        }
    }


def test_loss_schedule_and_the_rest(make: Any) -> None:
    rates = ("lr/a", "lr/a-weight_decay", "train/ema_decay")
    found = sections(make, {}, "train/loss", "val/loss", "train/prediction_loss", *rates, "train/samples_per_second")
    assert found == {
        "Loss": {"Loss": ["train", "val"], "train/prediction_loss": ["train/prediction_loss"]},
        "Schedule": {"EMA": ["train/ema_decay"], "Learning rate": ["a"], "Weight decay": ["a"]},
        "Other": {"train/samples_per_second": ["train/samples_per_second"]},
    }


def test_parameter_groups_with_one_rate_have_one_line(make: Any) -> None:
    found = {"lr/a": 1.0, "lr/b": 1.0, "lr/c": 2.0}
    history, _ = read_history(make.lines([make.start, {**make.values(1), "values": found}]))
    (chart,) = grouped(history)["Schedule"]
    assert [line.label for line in chart.lines] == ["a", "c"]


def test_every_metric_is_on_one_chart(history: History) -> None:
    charts = [chart for each in grouped(history).values() for chart in each]
    lines = sum(len(chart.lines) for chart in charts)
    # the alarm count is told elsewhere, and the value without a label is that of the first one
    assert lines == len(history.values) - 2
