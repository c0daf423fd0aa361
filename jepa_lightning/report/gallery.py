"""Pictures of a run: the last one of each name is shown, and earlier ones can be chosen, without a script."""

from jepa_lightning.report.markup import Markup, element
from jepa_lightning.report.pictures import Film

WIDE = 600  # pixels from which a picture has a row of its own, where it is not made smaller
# what is seen on them
CAPTIONS = {
    "masks": "Masks: what the encoder sees of each sample, and what is predicted",
    "token_pca": "Tokens as colors: where colors are alike, features are",
    "energy_map": "Energy map: where the prediction fails",
    "neighbors": "Validation samples and their nearest training samples",
    "energy_histogram": "Energy of true and of foreign pairs",
    "embedding": "Embedding of the features",
}


def gallery(films: list[Film]) -> Markup:
    """All pictures, those with a known caption first."""
    order = list(CAPTIONS)
    ranked = sorted(films, key=lambda film: order.index(film.name) if film.name in order else len(order))
    return element("div", *(_film(film, number) for number, film in enumerate(ranked)), class_="gallery")


def _film(film: Film, number: int) -> Markup:
    caption, last = CAPTIONS.get(film.name, film.name), len(film.pictures) - 1
    inputs = [
        element(
            "input", type="radio", name=f"film-{number}", id=f"film-{number}-{place}", checked=place == last,
            aria_label=f"step {picture.step:,}",
        )
        for place, picture in enumerate(film.pictures)
    ]  # fmt: skip
    frames = [
        element(
            "figure",
            element(
                "img", src=picture.address, width=picture.width, height=picture.height,
                alt=f"{caption}, at step {picture.step:,}",
            ),
            element("figcaption", f"step {picture.step:,}"),
        )
        for picture in film.pictures
    ]  # fmt: skip
    labels = [
        element("label", f"{picture.step:,}", for_=f"film-{number}-{place}")
        for place, picture in enumerate(film.pictures)
    ]
    chosen = [*inputs, element("div", element("span", "step "), *labels, class_="strip")] if last else []
    wide = any(picture.width > WIDE for picture in film.pictures)
    left = f"{film.left_out} more are in the run's folder." if film.left_out else ""
    return element(
        "fieldset",
        element("legend", caption),
        *chosen,
        element("div", *frames, class_="frames"),
        *([element("p", left, class_="note")] if left else []),
        class_="film wide" if wide else "film",
    )
