"""Page of feature pictures: scatter plots and channel maps of teacher, student alone and distilled student."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from torch import Tensor, nn

from densekd.atomic import atomic
from densekd.data.picture import shown_bands
from densekd.report.features.channel_maps import (
    TEMPERATURE,
    Channel,
    channel_map,
    logit_channels,
    map_picture,
    varied_channels,
)
from densekd.report.features.collect import (
    Collected,
    FeatureOptions,
    collect,
    require_groups,
    usual_tap,
)
from densekd.report.features.embedding import INSTALL, neighbor_agreement, pca, tsne
from densekd.report.features.scatter import SIDE, Scatter, css_color, scatter_plot
from densekd.report.page import ROLES
from densekd.report.pictures import jpeg_address, png_address
from densekd.tasks.pixel_groups import PixelGroups


@dataclass(frozen=True)
class Shown:
    """What is shown: the models of a run, in the order of the columns.

    Args:
        models: role (``teacher``, ``baseline``, ``student``) -> model.
        missing: role -> why there is no model.
        pixels: images, and the groups of their pixels.
        name: of the run.
    """

    models: Mapping[str, nn.Module]
    missing: Mapping[str, str]
    pixels: PixelGroups
    name: str


@dataclass(frozen=True)
class Column:
    """One model: its plots, or why it is missing."""

    role: str
    tap: str
    scatters: Mapping[str, Scatter]
    agreement: float | None
    missing: str


@dataclass(frozen=True)
class MapRow:
    """One channel of every model on one image; a source is a data address or empty."""

    name: str
    sources: Mapping[str, str]
    captions: Mapping[str, str]


def write_features(shown: Shown, options: FeatureOptions, path: Path) -> list[str]:
    """Draw the features of a run's models and write them as one page; an old page is replaced in one move.

    Args:
        shown: models and images.
        options: what is drawn of them.
        path: of the page.

    Returns:
        Notes for people: models that are missing, pictures that could not be drawn.

    Raises:
        UserError: images without labels, or a tap that a model does not have.
    """
    require_groups(shown.pixels)
    collected: dict[str, Collected] = {}
    for role, model in shown.models.items():
        given = options.tap
        if role == "teacher" and options.teacher_tap is not None:
            given = options.teacher_tap
        collected[role] = collect(model, shown.pixels, usual_tap(model, given), options)
    notes = [f"{ROLES[role]}: {reason}" for role, reason in shown.missing.items()]
    columns = [_column(role, collected, shown, options.seed) for role in ROLES]
    for column in columns:
        for scatter in column.scatters.values():
            if scatter.note and scatter.note not in notes:
                notes.append(scatter.note)
    page = (
        _templates()
        .get_template("features/features.html.j2")
        .render(
            name=shown.name,
            columns=columns,
            roles=ROLES,
            legend=_legend(shown.pixels, collected),
            images=_map_sections(shown, collected),
            options=options,
            side=SIDE,
            temperature=TEMPERATURE,
        )
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return notes


def _templates() -> Environment:
    # Names of classes and files are not trusted.
    return Environment(
        loader=PackageLoader("densekd", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _column(role: str, collected: Mapping[str, Collected], shown: Shown, seed: int) -> Column:
    """Lay out the plots of one model."""
    found = collected.get(role)
    if found is None:
        return Column(role, "", {}, None, shown.missing.get(role, "not there"))
    points, share = pca(found.features)
    first, second = (100 * share).tolist()
    flat = scatter_plot(points, found.groups, shown.pixels)
    scatters = {f"PCA ({first:.0f} % and {second:.0f} % of the variance)": flat}
    scatters["t-SNE"] = _tsne_scatter(found, shown.pixels, seed)
    agreement = None
    if len(found.features) > 1:
        agreement = 100 * neighbor_agreement(found.features, found.groups)
    return Column(role, found.tap, scatters, agreement, "")


def _tsne_scatter(found: Collected, pixels: PixelGroups, seed: int) -> Scatter:
    """Draw t-SNE, or say why it cannot be drawn."""
    try:
        points = tsne(found.features, seed)
    except ImportError:
        return Scatter((), INSTALL)
    if points is None:
        return Scatter((), "t-SNE needs at least four labelled pixels")
    return scatter_plot(points, found.groups, pixels)


def _legend(pixels: PixelGroups, collected: Mapping[str, Collected]) -> list[tuple[str, str, int]]:
    """List the groups that occur: name, color, and the most pixels that a model shows of it."""
    most = torch.zeros(len(pixels.names), dtype=torch.int64)
    for found in collected.values():
        most = most.maximum(torch.bincount(found.groups, minlength=len(most)))
    rows: list[tuple[str, str, int]] = []
    for name, color, count in zip(pixels.names, pixels.colors, most.tolist(), strict=True):
        if count:
            rows.append((name, css_color(color), count))
    return rows


def _map_sections(shown: Shown, collected: Mapping[str, Collected]) -> list[tuple[str, str, list[MapRow]]]:
    """Draw the channel maps of a few images: stem, picture, one row for each channel."""
    sections: list[tuple[str, str, list[MapRow]]] = []
    count = max(len(found.maps) for found in collected.values())
    for number in range(count):
        rows = _logit_rows(shown.pixels, number, collected) + _feature_rows(number, collected)
        image = Image.fromarray(shown_bands(shown.pixels.images[number].permute(1, 2, 0).numpy()))
        sections.append((shown.pixels.stems[number], jpeg_address(image), rows))
    return sections


def _logit_rows(pixels: PixelGroups, number: int, collected: Mapping[str, Collected]) -> list[MapRow]:
    """Draw the same channels of all models' logits."""
    logits = {role: found.logits[number] for role, found in collected.items() if found.logits}
    if "student" not in logits:
        return []
    rows: list[MapRow] = []
    for channel in logit_channels(pixels, number, logits["student"]):
        sources: dict[str, str] = {}
        for role, one in logits.items():
            # A teacher of other classes has no such channel.
            if len(one) == len(logits["student"]):
                sources[role] = _map_source(one, channel)
        rows.append(MapRow(f"logits: {channel.name}", sources, dict.fromkeys(sources, "")))
    return rows


def _feature_rows(number: int, collected: Mapping[str, Collected]) -> list[MapRow]:
    """Draw the channels of each model's features that vary most; those of two models do not correspond."""
    chosen = {role: varied_channels(found.maps[number]) for role, found in collected.items()}
    rows: list[MapRow] = []
    for rank in range(max(map(len, chosen.values()))):
        sources: dict[str, str] = {}
        captions: dict[str, str] = {}
        for role, channels in chosen.items():
            if rank < len(channels):
                sources[role] = _map_source(collected[role].maps[number], channels[rank])
                captions[role] = channels[rank].name
        rows.append(MapRow(f"features: variation {rank + 1}", sources, captions))
    return rows


def _map_source(features: Tensor, channel: Channel) -> str:
    return png_address(map_picture(channel_map(features, channel.number)))
