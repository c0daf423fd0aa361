"""Modules that are loaded from and saved to folders, in the way of Hugging Face."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin
from lightning_utilities.core.rank_zero import rank_zero_info
from typing_extensions import Self


class Pretrained(ModelHubMixin):
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` of a module.

    The mixin of ``huggingface_hub``, with folders that appear whole or not at all, and with more forms of weights.
    """

    start_from: str | None = None  # weights that a new run starts from
    _missing: str | None = None  # why they are not there
    _is_started: bool = False

    def setup(self, stage: str) -> None:
        """Loads ``start_from``, before any strategy takes the weights; those of a resumed run take their place.

        It does so once: a second fit of the same module continues from the weights that the first one has trained.

        Raises:
            MisconfigurationException: if the weights are not those of this module.
            ValueError: if the file is damaged or holds more than plain data.
        """
        if stage == "fit" and self.start_from is not None and not self._is_started:
            from jepa_lightning.interop.start import start_run_

            self._missing = start_run_(self, self.start_from, "start_from")
            self._is_started = self._missing is None

    def on_fit_start(self) -> None:
        """Refuses to start a new run from nothing; a run that is resumed no longer needs ``start_from``.

        Raises:
            MisconfigurationException: if it is not there, or cannot be downloaded.
        """
        from jepa_lightning.interop.start import refuse_missing

        super().on_fit_start()  # type: ignore[misc]  # of the LightningModule behind the mixin
        refuse_missing(self._missing, self.trainer.ckpt_path, "start_from")  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **options: Any,
    ) -> Self:
        """A module in eval mode, ready for features or for more training. Nothing in a file is run.

        What became of each tensor is printed; ``interop.load_pretrained`` returns it. Both encoders and the predictor
        come from the file where it has them; what starts anew is said.

        Args:
            pretrained_model_name_or_path: a folder of ``save_pretrained``; a folder of ``transformers`` with an
                I-JEPA, a V-JEPA 2, or, for image methods, a ViT or a DINOv2; a checkpoint of this package; a file of
                the authors of I-JEPA and V-JEPA, or its published name, see ``interop.published.PUBLISHED``; or
                ``OWNER/NAME`` on the hub of Hugging Face.
            force_download: download what is in the cache already.
            token: of the hub.
            cache_dir: where downloads from the hub are kept.
            local_files_only: take what is in the cache alone.
            revision: of the repository on the hub.
            options: of the module, in the place of those of the source.

        Raises:
            FileNotFoundError: if there is no such thing.
            ValueError: if it is of another class, is damaged, or a tensor has no counterpart.
        """
        from jepa_lightning.interop.pretrained import load_pretrained

        hub = {
            "force_download": force_download,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "revision": revision,
        }
        module, report = load_pretrained(cls, pretrained_model_name_or_path, options, **hub)
        rank_zero_info(str(report))
        loaded: Self = module
        return loaded

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Writes all weights, the options and a model card to a folder.

        In a folder that it has written before, the options and the weights are replaced, and readers refuse the folder
        until both are there. All other files stay, and so does a README.

        Args:
            save_directory: the folder.
            repo_id: name on the hub, for ``push_to_hub``.
            push_to_hub: also put it on the hub.
            model_card_kwargs: ``dataset`` and ``results`` for the card, in the place of those of the Trainer.
            push_to_hub_kwargs: of ``push_to_hub``.

        Returns:
            The address of the commit if it was pushed.

        Raises:
            ValueError: if an option is no plain data, weights are not finite, or the folder has weights or a
                ``config.json`` of another origin.
        """
        from jepa_lightning.interop.folders import folder_appearing
        from jepa_lightning.interop.own_folder import check_origin, own_config

        place, config = Path(save_directory).expanduser(), own_config(self)
        check_origin(place)
        with folder_appearing(place) as folder:
            super().save_pretrained(folder, config=config, model_card_kwargs=model_card_kwargs)
        if not push_to_hub:
            return None
        pushed = push_to_hub_kwargs | {"model_card_kwargs": model_card_kwargs}
        return str(self.push_to_hub(repo_id=repo_id or place.name, **pushed))

    def _save_pretrained(self, save_directory: Path) -> None:
        from jepa_lightning.interop.own_folder import write_own_weights

        write_own_weights(self, save_directory)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card: recipe, data, results of probes, versions; as ``interop.model_card``."""
        from jepa_lightning.interop.model_card import model_card

        return model_card(self, *args, **kwargs)
