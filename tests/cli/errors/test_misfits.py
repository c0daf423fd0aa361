from jepa_lightning.cli.errors.misfits import misfit, misfit_of_shards


def test_tensors_are_counted_and_one_is_named() -> None:
    text = (
        "Error(s) in loading state_dict for IJEPA:\n"
        '\tMissing key(s) in state_dict: "a.weight", "a.bias". \n'
        '\tUnexpected key(s) in state_dict: "b.weight". \n'
        "\tsize mismatch for pos: copying a param with shape torch.Size([1, 16]) from checkpoint, the shape in current "
        "model is torch.Size([1, 64])."
    )
    assert misfit(text).startswith(
        'the checkpoint does not fit IJEPA, it has tensors 2 missing ("a.weight"), 1 unexpected ("b.weight"), '
        '1 of another size ("pos": 1, 16 there, 1, 64 here). Take the class'
    )


def test_of_shards_one_tensor_is_named() -> None:
    lacks = misfit_of_shards(["other words", "Missing key in checkpoint state_dict: state_dict.a.weight."])
    assert lacks is not None
    assert 'it lacks "a.weight"' in lacks
    assert misfit_of_shards(["other words"]) is None
