from jepa_lightning.data import PhysicsVideoDataset


def test_a_textured_background_is_a_clips_own_and_stands_still_while_the_same_bodies_move() -> None:
    plain, textured = PhysicsVideoDataset(20), PhysicsVideoDataset(20, textured=True)
    corners = set()
    for (dark, labels, _), (motley, same, _) in zip(plain, textured, strict=True):
        assert labels == same
        moved, moves = ((frames != frames[:1]).any(dim=1) for frames in (motley, dark))
        # what covers little of a pixel is rounded away on one background and not on the other
        assert (moved != moves).sum() < 0.1 * moves.sum()
        still = motley[0].permute(1, 2, 0)[~moves.any(dim=0)].float()
        assert still.std(dim=0).min() > 10 > dark[0, :, 0, 0].float().std()
        corners.add(tuple(motley[0, :, 0, 0].tolist()))
    assert len(corners) == 20
