from jepa_lightning.cli.methods import methods_table

TABLE = """
| method      | predicts       | kept from collapse by                     | needs augmentations | needs negatives |
| ----------- | -------------- | ----------------------------------------- | ------------------- | --------------- |
| MAE         | pixels         | reconstruction                            | no                  | no              |
| IJEPA       | representation | EMA target, predictor, masking            | no                  | no              |
| VJEPA       | representation | EMA target, predictor, masking            | no                  | no              |
| WorldModel  | representation | inverse dynamics, statistics of the batch | no                  | no              |
| BarlowTwins | representation | statistics of the batch                   | yes                 | no              |
| BYOL        | representation | EMA target, predictor, stop-gradient      | yes                 | no              |
| DINO        | representation | EMA teacher, centering, sharpening        | yes                 | no              |
| LeJEPA      | representation | statistics of the batch                   | yes                 | no              |
| MoCo        | representation | negatives                                 | yes                 | yes             |
| SimCLR      | representation | negatives                                 | yes                 | yes             |
| SimSiam     | representation | predictor, stop-gradient                  | yes                 | no              |
| VICReg      | representation | statistics of the batch                   | yes                 | no              |
"""


def test_the_table() -> None:
    assert methods_table() == TABLE.strip()
