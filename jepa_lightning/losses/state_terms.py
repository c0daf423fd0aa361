# B batch of one rank, G joint batch of all ranks, T frames, D width, A numbers of an action
"""What keeps the states of a world model from collapsing.

Sources: EB-JEPA, arXiv 2602.03604 (variance, covariance, time similarity, inverse dynamics); LeWorldModel,
arXiv 2603.19312 (SIGReg at each time step).
"""

from torch import Tensor, nn

from jepa_lightning.losses.inverse_dynamics import inverse_dynamics_loss
from jepa_lightning.losses.sigreg import SIGReg
from jepa_lightning.losses.time_similarity import time_similarity_loss
from jepa_lightning.losses.vicreg import covariance_loss, variance_loss


class StateTerms(nn.Module):
    """The weighted terms on the states of trajectories, each left out where its weight is 0.

    Variance and covariance pool the samples of all frames and all ranks, G * T of them; SIGReg is a statistic of each
    frame over G, averaged over the frames, along directions that are drawn at each step and are the same for all frames
    and ranks.

    Args:
        variance: weight of ``mean over j of relu(1 - sqrt(Var_j + 1e-4))``.
        covariance: weight of the mean of the squared covariances of different features, over D (D - 1) of them.
        similarity: weight of ``time_similarity_loss``.
        inverse: weight of ``inverse_dynamics_loss``.
        sigreg: weight of SIGReg.
        num_directions: directions that SIGReg looks along.
        inverse_network: ``[M, 2 D]`` to ``[M, A]``, for inverse dynamics.

    Raises:
        ValueError: if inverse dynamics have a weight and no network.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import StateTerms
        >>> terms = StateTerms(variance=16.0, similarity=12.0)
        >>> found = terms(torch.ones(8, 4, 16), torch.zeros(8, 3, 2))  # collapsed: nothing varies
        >>> {name: round(float(term), 2) for name, term in found.items()}
        {'variance': 15.84, 'similarity': 0.0}
    """

    def __init__(
        self,
        variance: float = 0.0,
        covariance: float = 0.0,
        similarity: float = 0.0,
        inverse: float = 0.0,
        sigreg: float = 0.0,
        num_directions: int = 1024,
        inverse_network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if inverse and inverse_network is None:
            raise ValueError(f"StateTerms: inverse={inverse:g} needs an inverse_network, from two states to an action.")
        self.variance, self.covariance, self.similarity, self.inverse = variance, covariance, similarity, inverse
        self.inverse_network = inverse_network if inverse else None
        self.normality = SIGReg(num_directions, weight=sigreg, gather=True) if sigreg else None

    def forward(self, states: Tensor, actions: Tensor) -> dict[str, Tensor]:
        """The weighted terms by name; the loss has their sum.

        Args:
            states: ``[B, T, D]`` of encoded frames.
            actions: ``[B, T - 1, A]``; action t leads from frame t to frame t + 1.
        """
        terms, pooled = {}, states.flatten(0, 1)
        if self.variance:
            terms["variance"] = self.variance * variance_loss(pooled, gather=True)
        if self.covariance:
            # VICReg's term is a sum over the other features, of which this one is the mean
            others = states.shape[-1] - 1
            terms["covariance"] = self.covariance * covariance_loss(pooled, gather=True) / others
        if self.similarity:
            terms["similarity"] = self.similarity * time_similarity_loss(states)
        if self.inverse_network is not None:
            terms["inverse"] = self.inverse * inverse_dynamics_loss(self.inverse_network, states, actions)
        if self.normality is not None:
            terms["sigreg"] = self.normality(*states.unbind(dim=1))
        return terms
