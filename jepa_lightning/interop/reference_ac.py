"""Why the predictor of V-JEPA 2-AC is not loaded, and what to do with its file.

It predicts the tokens of a frame under actions of a robot, as ``WorldModel(predictor="tokens")`` does; the two differ:

=============  =====================================================  ============================================
part           V-JEPA 2-AC                                            ``nn.TokenPredictor``
=============  =====================================================  ============================================
action         a token before those of its frame                      shifts, scales and gates each block (AdaLN)
state of arm   a second such token, of 7 numbers                      none: frames and actions alone
tokens         2 and then 256 of each frame                           256 of each frame
norms          with weights of their own                              without, in the blocks
attention      to all frames before                                   to the last ``history`` frames in each block
positions      rotary in style ``vjepa2``, of the two tokens in time  rotary in style ``exact``
=============  =====================================================  ============================================

Source: V-JEPA 2 (arXiv 2506.09985), section 3, and its code.
"""

from typing import Any


def ac_predictor_refusal(source: Any) -> str:
    """One line on a file of V-JEPA 2-AC, whose predictor is asked for."""
    return (
        f"the predictor of {source} cannot be loaded: it reads the action and the state of the arm as two tokens "
        "before those of each frame, and WorldModel(predictor='tokens') takes no state and has actions shift and scale "
        f"its blocks. Take its encoder: `jepa-lightning convert {source} vjepa.ckpt --to torch`, and train "
        "WorldModel(encoder='vjepa.ckpt', predictor='tokens') on it."
    )
