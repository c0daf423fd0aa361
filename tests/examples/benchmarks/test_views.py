import torch
from torchvision.transforms import v2

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.data.blur import SeparableGaussianBlur


def test_prints_views_a_second_and_a_ratio_for_each_method(example, capsys):
    example("benchmarks/views.py").main(["--images", "1", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" view")[0] for line in lines] == ["IJEPA, 1", "SimCLR, 2", "BYOL, 2", "DINO, 10"]
    assert all(float(line.split()[-1]) > 0 for line in lines)


def test_what_it_compares_with_has_torchvisions_steps_and_the_same_chances(example):
    steps = Augmentation(solarize=0.1).steps((64, 64))
    other = example("benchmarks/views.py").with_torchvision(v2.Compose(steps)).transforms
    assert [type(step) for step in other] == [type(step) for step in steps]
    inner = [[type(each) for each in step.transforms] for step in other if isinstance(step, v2.RandomApply)]
    assert inner == [[v2.ColorJitter], [v2.GaussianBlur]]
    assert [step.p for step in other if isinstance(step, v2.RandomApply)] == [0.8, 0.5]
    image = torch.rand(3, 64, 64)
    assert isinstance(steps[4].transforms[0], SeparableGaussianBlur)
    torch.manual_seed(0)
    found = steps[4].transforms[0](image)
    torch.manual_seed(0)
    torch.testing.assert_close(torch.as_tensor(found), other[4].transforms[0](image), atol=1e-5, rtol=0)
