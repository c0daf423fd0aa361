# B batch, C channels, T frames, H W height and width, N tokens of a frame, D width, A numbers of an action, K steps
"""World models: predict the representation of frames to come from past ones and the actions taken.

Sources: EB-JEPA (arXiv 2602.03604), LeWorldModel (arXiv 2603.19312), DINO-WM (arXiv 2411.04983), V-JEPA 2-AC
(arXiv 2506.09985).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.videos.action_clips import action_pipeline
from jepa_lightning.energy import Sides, energy_of
from jepa_lightning.losses import Distance, StateTerms
from jepa_lightning.modules.building import building
from jepa_lightning.modules.frame_encoder import IMPALA, Pool, frame_encoder, is_frozen, opened
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.modules.latent_dynamics import LatentDynamics
from jepa_lightning.modules.traits import Traits
from jepa_lightning.modules.trajectories import Actions, actions_of, check_frames
from jepa_lightning.modules.unused_options import refuse_unused
from jepa_lightning.nn import CausalPredictor, GRUPredictor, MLPPredictor, TokenPredictor, mlp_head, projection_head
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import (
    FinalRate,
    FiniteFloat,
    ImageSize,
    LearningRate,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ShareBelowOne,
)
from jepa_lightning.types import Batch, StepOutput

PredictorName = Literal["gru", "mlp", "adaln", "tokens"]
Prediction = Literal["rollout", "teacher_forcing"]
TERMS = ("variance", "covariance", "similarity", "inverse", "sigreg")
ATTENTION = ("history", "predictor_heads", "predictor_head_width")
TRANSFORMER = ("history", "predictor_depth", "predictor_heads", "predictor_head_width", "predictor_hidden", "dropout")


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
      prediction="teacher_forcing"``. Nothing can collapse there, so there are no terms.

    What differs from the papers: EB-JEPA clips the gradients of encoder and predictor separately, to a norm of 2, and
    the Trainer's ``gradient_clip_val`` clips them together; it takes actions as they are, and they are standardized
    here unless ``action_mean`` and ``action_std`` are given.

    Args:
        encoder: network that sees a frame: ``impala``; a named size such as ``vit_tiny``; ``timm:NAME``; a checkpoint
            (``*.ckpt``) of a method of this package, whose encoder is then frozen; or a network of your own or its
            class path, see ``EncoderModule``.
        predictor: ``gru`` or ``mlp``, from the last state alone; ``adaln``, a causal transformer over the last states;
            or ``tokens``, one over all patch tokens of the last frames.
        num_frames: number of frames in a clip, T. Longer trajectories are cut: anywhere in training, in the middle in
            evaluation.
        action_size: number of values in an action, A.
        action_mean: mean of each value of an action, which is subtracted; None has the data's.
        action_std: standard deviation of each value of an action, which divides the rest; None has the data's.
        frame_skip: steps of the environment from a frame to the next, whose actions stand one after the other in an
            action; None has the data's.
        image_size: height and width of the frames in pixels, or one number for both.
        in_channels: number of channels of the frames.
        patch_size: side of a patch in pixels, of named Vision Transformers.
        width: width D of the encoder, instead of its own; 512 for ``impala``.
        depth: number of blocks of a named Vision Transformer, instead of its own.
        heads: attention heads of a named Vision Transformer, instead of its own.
        pool: what a state is made of where it is one vector: the ``mean`` of the tokens of a frame, or the ``class``
            token of a Vision Transformer.
        freeze_encoder: leave the encoder as it starts.
        projector: width within a projector with batch normalization behind the encoder, and one behind the predictor;
            None has one LayerNorm behind both, without weights where the encoder is frozen.
        history: number of states, or frames of tokens, that each block of a transformer looks back on, the last one
            included.
        predictor_depth: number of blocks of the predictor, or of hidden layers of ``mlp``.
        predictor_dim: width of the predictor of tokens.
        predictor_heads: attention heads of the predictor.
        predictor_head_width: width of each of them.
        predictor_hidden: width within the MLPs of the predictor, or of the hidden layers of ``mlp``.
        dropout: share of the values in the predictor that are set to 0 in training.
        prediction: ``rollout``, from the first frame and on from what has been predicted; or ``teacher_forcing``, one
            step from each encoded frame.
        rollout_steps: number of steps K of a rollout in training.
        rollout_gradient: send gradients from each step of a rollout to those before it.
        detach_target: send no gradient to the encoded frames that are to be predicted.
        distance: distance between predicted and encoded states, and to the goal of a plan.
        variance: weight of the hinge on the standard deviation of states, over all frames of the batch.
        covariance: weight of the mean of their squared covariances.
        similarity: weight of the squared difference of consecutive states.
        inverse: weight of the error of the actions that a network reads from consecutive states.
        inverse_hidden: width within that network.
        sigreg: weight of SIGReg at each time step.
        num_directions: number of directions that SIGReg looks along.
        lr: peak learning rate.
        start_lr: learning rate of the first step.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        final_weight_decay: weight decay of the last step; None keeps it constant.
        kwargs: statistics of pixels and pretrained weights, as in ``EncoderModule``; optimizer, schedule and
            compilation, as in ``JEPAModule``.

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
        num_frames: PositiveInt = 17,
        action_size: PositiveInt = 2,
        action_mean: Sequence[FiniteFloat] | None = None,
        action_std: Sequence[PositiveFloat] | None = None,
        frame_skip: PositiveInt | None = None,
        image_size: ImageSize = 65,
        in_channels: PositiveInt = 2,
        patch_size: PositiveInt = 16,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        pool: Pool = "mean",
        freeze_encoder: bool = False,
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
        encoder = opened(encoder)
        if isinstance(encoder, FrozenEncoder) and encoder.in_channels == in_channels:
            kwargs = {"mean": encoder.mean, "std": encoder.std, **kwargs}
        super().__init__(
            encoder, in_channels, lr=lr, start_lr=start_lr, final_lr=final_lr, weight_decay=weight_decay,
            final_weight_decay=final_weight_decay, **kwargs,
        )  # fmt: skip
        refuse_unused(type(self), self.unused_options(self.hparams), self.hparams)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.num_frames = patch_size, num_frames
        self.predictor_name, self.in_tokens = predictor, predictor == "tokens"
        self.teacher_forcing, self.rollout_steps = prediction == "teacher_forcing", rollout_steps
        self.rollout_gradient, self.detach_target, self.distance_name = rollout_gradient, detach_target, distance
        check_frames(num_frames, None if self.teacher_forcing else rollout_steps)
        self.actions = Actions(action_size, action_mean, action_std)
        with building(self):
            self.encoder = frame_encoder(self, width, depth, heads, pool, tokens=self.in_tokens)
            if freeze_encoder:
                self.encoder.requires_grad_(False)
            self.is_frozen = not any(parameter.requires_grad for parameter in self.encoder.parameters())
            self.state_head = self.build_head()
            self.predictor = self.build_predictor()
            self.predictor_head = self.build_head() if projector else None
            self.terms = self.build_terms()
        self.train()

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of networks and terms that are not asked for."""
        unused, encoder, predictor = super().unused_options(options), options.get("encoder"), options["predictor"]
        unused["normalize_on_device"] = "clips are normalized together with their actions"
        if predictor == "gru":
            unused |= dict.fromkeys(TRANSFORMER, "predictor is gru")
        if predictor == "mlp":
            unused |= dict.fromkeys(ATTENTION, "predictor is mlp")
        if predictor != "tokens":
            unused["predictor_dim"] = f"predictor is {predictor}, which has the width of the state"
        else:
            unused["pool"] = "predictor tokens takes all tokens of a frame"
        if encoder == IMPALA:
            unused |= dict.fromkeys(("patch_size", "pool"), "encoder is impala")
        if options["prediction"] == "teacher_forcing":
            unused |= dict.fromkeys(("rollout_steps", "rollout_gradient"), "prediction is teacher_forcing")
        if (options["freeze_encoder"] or is_frozen(encoder)) and options["projector"] is None:
            unused |= dict.fromkeys((*TERMS, "detach_target"), "the encoder is frozen, so that nothing can collapse")
        if not options["inverse"]:
            unused["inverse_hidden"] = "inverse is 0"
        if not options["sigreg"]:
            unused["num_directions"] = "sigreg is 0"
        return unused

    def build_head(self) -> nn.Module:
        """What turns tokens or vectors ``[M, D]`` of the encoder, and of the predictor, into states ``[M, D]``."""
        hidden: int | None = self.hparams["projector"]
        if hidden is None:
            return nn.LayerNorm(self.width, elementwise_affine=not self.is_frozen)
        return projection_head(self.width, hidden, self.width)

    def build_predictor(self) -> nn.Module:
        """The predictor, called as ``predictor(states, actions, memory)``; see ``nn.CausalPredictor``."""
        size = (self.width, self.actions.size)
        if self.predictor_name == "gru":
            return GRUPredictor(*size)
        options = self.hparams
        if self.predictor_name == "mlp":
            return MLPPredictor(*size, options["predictor_depth"], options["predictor_hidden"], options["dropout"])
        shape = [options[name] for name in TRANSFORMER]
        if self.predictor_name == "adaln":
            return CausalPredictor(*size, *shape)
        grid = tuple(getattr(self.encoder, "grid_size", ()))
        if not grid:
            raise ValueError(
                f"predictor 'tokens' needs the grid of the encoder's tokens, and {self.encoder_label} has no grid_size."
            )
        return TokenPredictor(*size, (1, *grid)[-2:], options["predictor_dim"], *shape)

    def build_terms(self) -> StateTerms | None:
        """The terms that keep states from collapsing; None where nothing trains them."""
        options = self.hparams
        if self.is_frozen and options["projector"] is None:
            return None
        hidden = options["inverse_hidden"]
        network = mlp_head([2 * self.width, hidden, hidden, self.actions.size], norm=False)
        weights = {name: options[name] for name in TERMS}
        return StateTerms(**weights, num_directions=options["num_directions"], inverse_network=network)

    def train(self, mode: bool = True) -> "WorldModel":
        """Sets the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def pipeline(self) -> Pipeline:
        """Clips as they are, in training too: a crop or a mirror image would belong to other actions."""
        return action_pipeline(self.image_size, self.num_frames, self.actions.size, self.mean, self.std)

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
        predicted = self.predictions(states, actions)
        target = states[:, 1 : 1 + predicted.shape[1]]
        loss = self.distance(predicted, target.detach() if self.detach_target else target).mean()
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
