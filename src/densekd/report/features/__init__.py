"""Feature pictures of a run: t-SNE and PCA of pixels' features by class, and channel maps, as one HTML page.

``collect`` runs the models, ``embedding`` and ``channel_maps`` turn features into points and maps,
``page`` fills the template. Unlike the rest of the report this needs torch and the models.
"""

from densekd.report.features.collect import FeatureOptions
from densekd.report.features.page import Shown, write_features

__all__ = ["FeatureOptions", "Shown", "write_features"]
