# B batch, C channels, T frames, H W height and width, N tokens of a frame, D width, A numbers of an action, K steps
"""World models: predict the representation of frames to come from past ones and the actions taken.

Sources: EB-JEPA (arXiv 2602.03604), LeWorldModel (arXiv 2603.19312), DINO-WM (arXiv 2411.04983), V-JEPA 2-AC
(arXiv 2506.09985).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from jepa_lightning.energy import Sides, energy_of
from jepa_lightning.losses import Distance, StateTerms
from jepa_lightning.modules.building import building
from jepa_lightning.modules.frame_encoder import IMPALA
from jepa_lightning.modules.latent_dynamics import LatentDynamics
from jepa_lightning.modules.state_predictor import PredictorName, state_predictor, unused_by_predictor
from jepa_lightning.modules.traits import Traits
from jepa_lightning.modules.trajectories import actions_of, check_frames
from jepa_lightning.nn import mlp_head
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import FinalRate, LearningRate, NonNegativeFloat, PositiveInt, ShareBelowOne
from jepa_lightning.types import Batch, StepOutput

Prediction = Literal["rollout", "teacher_forcing"]
RolloutFrom = Literal["first", "every"]
TERMS = ("variance", "covariance", "similarity", "inverse", "sigreg")


class WorldModel(LatentDynamics):
    """A joint-embedding predictive architecture under actions, to plan with.

    A frame is encoded into a state, and the predictor tells the next state from the states so far and the actions
    taken; action t is taken at frame t and leads to frame t + 1. The loss is the distance of what is predicted to what
    is encoded of later frames, and terms that keep states from collapsing. Variance, covariance and SIGReg are
    statistics of the batch: two batches of 32, accumulated, are not one of 64.

    Three recipes, all of them plain options:

    - the defaults are EB-JEPA's for two rooms of 65 px: a convolutional encoder, a recurrent predictor, rollouts of 8
      steps, and the terms variance, covariance, similarity and inverse;
    - LeWorldModel: ``encoder="vit_tiny", pool="class", projector=2048, predictor="adaln", dropout=0.1,
      prediction="teacher_forcing", num_frames=4, sigreg=0.09``, and 0 for the other four terms;
    - a frozen encoder, as in DINO-WM and V-JEPA 2-AC: ``encoder="last.ckpt"`` of any method of this package, or
      ``encoder="timm:NAME", pretrained=True, freeze_encoder=True``, with ``predictor="tokens",
      prediction="teacher_forcing"``. Nothing can collapse there, so there are no terms. Or, with ``state_width=128``
      and any other predictor, a vector that is learned of the frozen tokens, with the terms of the defaults.

    What differs from the papers: EB-JEPA clips the gradients of encoder and predictor separately, to a norm of 2, and
    the Trainer's ``gradient_clip_val`` clips them together; it takes actions as they are, and they are standardized
    here unless ``action_mean`` and ``action_std`` are given.

    Args:
        encoder: network that sees a frame: ``impala``; a named size such as ``vit_tiny``; ``timm:NAME``; a checkpoint
            (``*.ckpt``) of a method of this package, whose encoder is then frozen; or a network of your own or its
            class path, see ``EncoderModule``.
        predictor: ``gru`` or ``mlp``, from the last state alone; ``adaln``, a causal transformer over the last states;
            or ``tokens``, one over all patch tokens of the last frames.
        projector: width within a projector with batch normalization behind the encoder, and one behind the predictor;
            None has one LayerNorm behind both, without weights where the encoder is frozen.
        history: number of states, or frames of tokens, that each block of a transformer looks back on, the last one
            included.
        predictor_depth: number of blocks of the predictor, or of hidden layers of ``mlp``.
        predictor_dim: width of the predictor of tokens.
        predictor_heads: attention heads of the predictor.
        predictor_head_width: width of each attention head of the predictor.
        predictor_hidden: width within the MLPs of the predictor, or of the hidden layers of ``mlp``.
        dropout: share of the values in the predictor that are set to 0 in training.
        prediction: ``rollout``, from the first frame and on from what has been predicted; or ``teacher_forcing``, one
            step from each encoded frame.
        rollout_steps: number of steps K of a rollout in training.
        rollout_from: the ``first`` frame of a clip alone, as in EB-JEPA; or ``every`` frame, as far as the clip
            reaches, so that a short clip has more to learn from.
        rollout_gradient: send gradients from each step of a rollout to those before it.
        detach_target: send no gradient to the encoded frames that are to be predicted.
        distance: distance between predicted and encoded states, and to the goal of a plan.
        variance: weight of the hinge on the standard deviation of states, over all frames of the batch.
        covariance: weight of the mean of the squared covariances of states.
        similarity: weight of the squared difference of consecutive states.
        inverse: weight of the error of the actions that a network reads from consecutive states.
        inverse_hidden: width within the network that reads actions.
        sigreg: weight of SIGReg at each time step.
        num_directions: number of directions that SIGReg looks along.
        lr: peak learning rate.
        start_lr: learning rate of the first step.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        final_weight_decay: weight decay of the last step; None keeps it constant.
        kwargs: frames, actions, and how the encoder is built, as in ``FrameStates``; statistics of pixels and
            pretrained weights, as in ``EncoderModule``; optimizer, schedule and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the options do not fit each other.

    Example:
        >>> import torch
        >>> from jepa_lightning import WorldModel
        >>> module = WorldModel(width=32, image_size=32).eval()
        >>> state = module.encode(torch.rand(2, 2, 1, 32, 32))  # one frame of each of two episodes
        >>> goal = module.encode(torch.rand(2, 2, 1, 32, 32))[:, 0]
        >>> futures = module.rollout(state, actions=torch.randn(2, 10, 2))
        >>> futures.shape, module.cost(futures, goal).shape
        (torch.Size([2, 10, 32]), torch.Size([2]))
    """

    traits: ClassVar = Traits(
        "representation", "inverse dynamics, statistics of the batch", needs_augmentations=False, needs_negatives=False
    )
    media_axes: ClassVar = 4

    def __init__(
        self,
        encoder: Encoder = IMPALA,
        predictor: PredictorName = "gru",
        projector: PositiveInt | None = None,
        history: PositiveInt = 3,
        predictor_depth: PositiveInt = 6,
        predictor_dim: PositiveInt = 384,
        predictor_heads: PositiveInt = 16,
        predictor_head_width: PositiveInt = 64,
        predictor_hidden: PositiveInt = 2048,
        dropout: ShareBelowOne = 0.0,
        prediction: Prediction = "rollout",
        rollout_steps: PositiveInt = 8,
        rollout_from: RolloutFrom = "first",
        rollout_gradient: bool = True,
        detach_target: bool = False,
        distance: Distance = "l2",
        variance: NonNegativeFloat = 16.0,
        covariance: NonNegativeFloat = 8.0,
        similarity: NonNegativeFloat = 12.0,
        inverse: NonNegativeFloat = 1.0,
        inverse_hidden: PositiveInt = 256,
        sigreg: NonNegativeFloat = 0.0,
        num_directions: PositiveInt = 1024,
        lr: LearningRate = 1e-3,
        start_lr: FinalRate = 0.0,
        final_lr: FinalRate = 1e-5,
        weight_decay: NonNegativeFloat = 1e-5,
        final_weight_decay: NonNegativeFloat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, projector=projector, lr=lr, start_lr=start_lr, final_lr=final_lr, weight_decay=weight_decay,
            final_weight_decay=final_weight_decay, **kwargs,
        )  # fmt: skip
        self.predictor_name = predictor
        self.teacher_forcing, self.rollout_steps = prediction == "teacher_forcing", rollout_steps
        self.rollout_from = rollout_from
        self.rollout_gradient, self.detach_target, self.distance_name = rollout_gradient, detach_target, distance
        check_frames(self.num_frames, None if self.teacher_forcing else rollout_steps)
        with building(self):
            self.predictor = self.build_predictor()
            self.predictor_head = self.build_head() if projector else None
            self.terms = self.build_terms()
        self.train()

    @property
    def in_tokens(self) -> bool:
        """Whether a state is all tokens of a frame."""
        return bool(self.hparams["predictor"] == "tokens")

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of networks and terms that are not asked for."""
        unused = super().unused_options(options) | unused_by_predictor(options["predictor"])
        if options["prediction"] == "teacher_forcing":
            rollout = ("rollout_steps", "rollout_from", "rollout_gradient")
            unused |= dict.fromkeys(rollout, "prediction is teacher_forcing")
        if not cls.trains_states(options):
            unused |= dict.fromkeys((*TERMS, "detach_target"), "the encoder is frozen, so that nothing can collapse")
        if not options["inverse"]:
            unused["inverse_hidden"] = "inverse is 0"
        if not options["sigreg"]:
            unused["num_directions"] = "sigreg is 0"
        return unused

    def build_predictor(self) -> nn.Module:
        """The predictor, called as ``predictor(states, actions, memory)``; see ``nn.CausalPredictor``."""
        return state_predictor(self, self.actions.size, self.hparams)

    def build_terms(self) -> StateTerms | None:
        """The terms that keep states from collapsing; None where nothing trains them."""
        options = self.hparams
        if not self.learns_states:
            return None
        hidden = options["inverse_hidden"]
        network = mlp_head([2 * self.width, hidden, hidden, self.actions.size], norm=False)
        weights = {name: options[name] for name in TERMS}
        return StateTerms(**weights, num_directions=options["num_directions"], inverse_network=network)

    def predictions(self, states: Tensor, actions: Tensor) -> Tensor:
        """What the loss and the energy compare with later frames.

        Args:
            states: of the frames of clips, ``[B, T, ...]``.
            actions: ``[B, T - 1, A]``.

        Returns:
            ``[B, K, ...]``, predictions of frames 1 to K: all but the first one under teacher forcing, or those of a
            rollout from it.
        """
        if self.teacher_forcing:
            return self.following(states[:, :-1], self.actions(actions))
        return self.rollout(states[:, :1], actions[:, : self.rollout_steps])

    def prediction_loss(self, states: Tensor, actions: Tensor) -> Tensor:
        """Mean distance of all predictions to their frames, a scalar; arguments as for ``predictions``."""
        targets = states.detach() if self.detach_target else states
        pairs = [(predicted := self.predictions(states, actions), targets[:, 1 : 1 + predicted.shape[1]])]
        if self.rollout_from == "every":
            for start in range(1, states.shape[1] - 1):
                ahead = actions[:, start : start + self.rollout_steps]
                predicted = self.rollout(states[:, : start + 1], ahead, actions[:, :start])
                pairs.append((predicted, targets[:, start + 1 : start + 1 + predicted.shape[1]]))
        total = sum((self.distance(*pair).mean() * pair[0].shape[1] for pair in pairs), states.new_zeros(()))
        return total / sum(predicted.shape[1] for predicted, _ in pairs)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Distance of predictions to encoded frames, and the terms that keep states apart."""
        actions = actions_of(batch, type(self).__name__)
        if len(batch.views) != 1:
            raise ValueError(
                f"{type(self).__name__} takes one view of a clip, got {len(batch.views)}: use the transform of "
                "module.pipeline()."
            )
        check_frames(batch.views[0].shape[2], None if self.teacher_forcing else self.rollout_steps)
        states = self.encode(batch.views[0])
        loss = self.prediction_loss(states, actions)
        logs = {"prediction": loss.detach()}
        if self.terms is not None:
            vectors = states.mean(dim=2) if states.ndim == 4 else states
            terms = self.terms(vectors, self.actions(actions))
            loss = loss + sum(terms.values())
            logs |= {name: term.detach() for name, term in terms.items()}
        tokens = states.detach().flatten(1, -2)
        return StepOutput(loss, tokens.mean(dim=1), logs, tokens)

    def sides(self, batch: Batch) -> Sides:
        """What the first frames and the actions predict, ``[B, K, ...]``, and those frames of the last view."""
        actions, first = actions_of(batch, type(self).__name__), self.encode(batch.views[0])
        last = first if batch.views[-1] is batch.views[0] else self.encode(batch.views[-1])
        predicted = self.predictions(first, actions)
        return Sides([predicted], last[:, 1 : 1 + predicted.shape[1]])

    def energy(self, batch: Batch) -> Tensor:
        """How badly the actions explain what follows in the last view, ``[B]``: the distance that the loss has."""
        return energy_of(self.sides(batch), (), self.distance)
