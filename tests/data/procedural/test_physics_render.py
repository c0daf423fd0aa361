from jepa_lightning.data import PhysicsVideoDataset


def test_a_textured_background_is_a_clips_own_and_stands_still_while_the_same_bodies_move() -> None:
    plain, textured = PhysicsVideoDataset(20), PhysicsVideoDataset(20, textured=True)
    tones = set()
    for (dark, labels, _), (motley, same, _) in zip(plain, textured, strict=True):
        assert labels == same
        moved, moves = ((frames != frames[:1]).any(dim=1) for frames in (motley, dark))
        # what covers little of a pixel is rounded away on one background and not on the other
        assert (moved != moves).sum() < 0.1 * moves.sum()
        # most of a plain clip is background, and of one tone
        uncovered = (dark == dark[0].flatten(1).mode().values[:, None, None]).all(dim=1).all(dim=0)
        assert uncovered.float().mean() > 0.3
        seen = motley[:, :, uncovered].float()
        assert (seen - seen[:1]).abs().max() <= 1
        assert seen[0].std(dim=1).min() > 10
        assert seen.max() <= 128  # half as bright as bodies may be
        tones.add(tuple(seen[0, :, 0].tolist()))
    assert len(tones) == 20
