def test_all_ways_read_the_same_image(example, tmp_path):
    benchmark = example("benchmarks/jpeg_decode.py")
    (path,) = benchmark.write_files(tmp_path, 1, (375, 500))
    assert 50_000 < path.stat().st_size < 200_000
    found = {name: way(path) for name, way in benchmark.ways(lambda image: None).items() if "view" not in name}
    sizes = {name: getattr(image, "size", None) for name, image in found.items() if name != "torchvision"}
    assert sizes == {"PIL": (500, 375), "read_rgb": (500, 375), "read_rgb, min_side 410": (500, 375),
                     "read_rgb, min_side 180": (250, 188)}  # fmt: skip
    assert found["torchvision"].shape == (3, 375, 500)


def test_prints_a_line_for_each_way_and_size(example, capsys):
    benchmark = example("benchmarks/jpeg_decode.py")
    benchmark.SIZES = ((60, 80), (90, 120))
    benchmark.main(["--images", "1", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 11
    assert all(float(line.split()[-2]) > 0 for line in lines if not line[0].isdigit())
