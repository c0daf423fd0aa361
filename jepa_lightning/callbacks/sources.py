# B batch, N tokens, D width, V views
"""Where callbacks find features, images and labels: in a ``JEPAModule``, or in any other LightningModule."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from jepa_lightning.callbacks.batch_items import described, find_item
from jepa_lightning.features import as_features, as_tokens, encode, eval_mode
from jepa_lightning.submodules import submodule
from jepa_lightning.types import Batch, Labels


@dataclass(eq=False)
class Source:
    """Finds what a callback needs in the batches and the steps of a module, without a change to the module.

    A ``JEPAModule`` and its ``Batch`` need no names: the step returns features, or the module is called on the views.
    For any other module ``features`` names what to take. Features that the step does not return are computed in eval
    mode and without gradients, once for all callbacks that ask for the same.

    Args:
        owner: name of the callback, for messages.
        features: key of the dict that the step returns, or dotted name of a submodule to call on the images. Features
            are ``[B, D]``, tokens ``[B, N, D]``, or channels-first maps ``[B, D, H, W]`` or ``[B, D, T, H, W]``.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors; None for no labels.
        images: index or key of the images in the batch: a tensor, or a sequence of views.

    Raises:
        MisconfigurationException: in all methods, if the module or the batch has nothing under these names.
    """

    owner: str
    features: str | None = None
    labels: int | str | None = 1
    images: int | str = 0
    _last: tuple[Any, Any, list[Tensor]] | None = field(default=None, repr=False)

    def pooled_in(self, module: LightningModule, outputs: Any) -> Tensor | None:
        """Features ``[B, D]`` that the step has returned, if it has."""
        found = self._returned(outputs, self.features or "features")
        return None if found is None else self._shaped(module, as_features, found)

    def tokens_in(self, module: LightningModule, outputs: Any) -> Tensor | None:
        """Tokens ``[B, N, D]`` that the step has returned, if it has."""
        found = self._returned(outputs, self.features or "tokens")
        # a step may return pooled features under the name of the network that gives the tokens
        return None if found is None or found.ndim == 2 else self._shaped(module, as_tokens, found)

    def pooled(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """Features ``[B, D]`` of a step, computed here if the step has not returned them."""
        found = self.pooled_in(module, outputs)
        return self.encode(trainer, module, batch, self.shown(trainer, module, batch)) if found is None else found

    def tokens(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, **options: Any) -> Tensor:
        """Tokens ``[B, N, D]`` of a step, computed here if the step has not returned them or with ``options``."""
        found = None if options else self.tokens_in(module, outputs)
        if found is None and self.features is None and not isinstance(batch, Batch):
            plain = self._returned(outputs, "features")
            found = None if plain is None else self._shaped(module, as_tokens, plain)
        if found is not None:
            return found
        return self.encode(trainer, module, batch, self.shown(trainer, module, batch), pool=False, **options)

    def encode(
        self,
        trainer: Trainer,
        module: LightningModule,
        batch: Any,
        views: Sequence[Tensor],
        pool: bool = True,
        shared: bool = True,
        **options: Any,
    ) -> Tensor:
        """Features ``[B, D]``, averaged over the views, or tokens ``[B, V * N, D]``, without gradients.

        Args:
            trainer: knows the precision.
            module: whose features they are.
            batch: for messages.
            views: on the module's device.
            pool: average over tokens.
            shared: take what another callback has just computed for the same views.
            options: of ``JEPAModule.forward``.
        """
        with torch.no_grad(), eval_mode(module), trainer.precision_plugin.forward_context():
            if self.features is None and isinstance(batch, Batch):
                # a module that has features alone need not have the option
                if not pool or "pool" in signature(module.forward).parameters:
                    options["pool"] = pool
                return encode(module, views, **options)
            network = self.network(module, batch)
            found = self._shared(trainer, network, views) if shared else [network(view) for view in views]
            if pool:
                return torch.stack([self._shaped(module, as_features, each) for each in found]).mean(dim=0)
            return torch.cat([self._shaped(module, as_tokens, each) for each in found], dim=1)

    def network(self, module: LightningModule, batch: Any = None) -> nn.Module:
        """The submodule that ``features`` names."""
        if self.features is None:
            names = ", ".join(name for name, _ in module.named_children())
            raise self._refused(
                module,
                batch,
                f"the step returns no 'features', and none are named; the submodules are {names}",
                "write features= with the name of a submodule to call on the images, or a key of what the step returns",
            )
        try:
            return submodule(module, self.features)
        except ValueError as error:
            raise self._refused(
                module,
                batch,
                f"the step returns nothing as '{self.features}', and {str(error).rstrip('.')}",
                "write features= with the name of a submodule to call on the images, or a key of what the step returns",
            ) from None

    def views(self, module: LightningModule, batch: Any) -> list[Tensor]:
        """All views of the images, each ``[B, ...]``."""
        if isinstance(batch, Batch) and self.images == 0:
            return batch.views
        found = batch if isinstance(batch, Tensor) and self.images == 0 else self._item(module, batch, "images")
        views = [found] if isinstance(found, Tensor) else found
        if not isinstance(views, (list, tuple)) or not views or not all(isinstance(view, Tensor) for view in views):
            raise self._refused(
                module,
                batch,
                f"images={self.images!r} of the batch is {described(found)}",
                "write images= with the index or key of a tensor or of a list of views",
            )
        return list(views)

    def shown(self, trainer: Trainer, module: LightningModule, batch: Any) -> list[Tensor]:
        """Views to encode: the first in training, where the views are random, all of them otherwise."""
        views = self.views(module, batch)
        return views[:1] if trainer.training else views

    def labels_of(self, module: LightningModule, batch: Any) -> Labels | None:
        """Labels of a batch; None if ``labels`` is None, or a ``Batch`` has none."""
        if self.labels is None or (isinstance(batch, Batch) and self.labels == 1):
            return batch.labels if isinstance(batch, Batch) else None
        found = self._item(module, batch, "labels")
        if isinstance(found, Mapping) and found and all(isinstance(each, Tensor) for each in found.values()):
            return dict(found)
        if isinstance(found, Tensor):
            return found
        raise self._refused(
            module,
            batch,
            f"labels={self.labels!r} of the batch is {described(found)}",
            "write labels= with the index or key of a tensor or of a dict of tensors",
        )

    def _item(self, module: LightningModule, batch: Any, option: str) -> Any:
        item = getattr(self, option)
        try:
            return find_item(batch, item)
        except LookupError:
            raise self._refused(
                module, batch, f"the batch has no {option}={item!r}", f"write {option}= with an index or key of it"
            ) from None

    def _returned(self, outputs: Any, key: str) -> Tensor | None:
        found = outputs.get(key) if isinstance(outputs, Mapping) else None
        return found.detach() if isinstance(found, Tensor) else None

    def _shared(self, trainer: Trainer, network: nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
        """What the network gives for each view, computed once for all callbacks at one place in the run."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        sources = [getattr(callback, "source", None) for callback in callbacks]
        place = trainer.global_step, trainer.fit_loop.epoch_loop.total_batch_idx, trainer.state.stage, len(views)
        for source in sources:
            if isinstance(source, Source) and source.features == self.features and source._last is not None:
                view, known_place, found = source._last
                if view() is views[0] and known_place == place:
                    return found
        found = [network(view) for view in views]
        self._last = weakref.ref(views[0]), place, found
        return found

    def forget(self) -> None:
        """Drops shared features, at the start and the end of a run."""
        self._last = None

    def _shaped(self, module: LightningModule, shape: Callable[[Any], Tensor], found: Any) -> Tensor:
        try:
            return shape(found)
        except ValueError as error:
            raise self._refused(
                module, None, f"features={self.features!r}: {error}", "write features= with another name"
            ) from None

    def _refused(self, module: LightningModule, batch: Any, why: str, what_to_do: str) -> MisconfigurationException:
        given = "" if batch is None else f" The batch is {described(batch)}."
        return MisconfigurationException(
            f"{self.owner} on {type(module).__name__}: {why}.{given} To fix it, {what_to_do}."
        )


def is_skipped(module: LightningModule, outputs: Any) -> bool:
    """Whether a training step has returned None to skip its batch; in manual optimization None means nothing."""
    return module.automatic_optimization and (not outputs or outputs.get("loss") is None)


def normalized(module: LightningModule, batch: Batch) -> Batch:
    """A batch as the objective of a module takes it: a ``JEPAModule`` may normalize views in its step."""
    own: Any = getattr(module, "normalized", None)
    found: Batch = batch if own is None else own(batch)
    return found
