"""Verdict on an artefact: verified, compared, converted or refused, with its numbers."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from densekd.export.spec import Precision

Status = Literal["verified", "compared", "converted", "refused"]
# What a table writes for a status.
TITLES: dict[Status, str] = {
    "verified": "verified",
    "compared": "numbers compared, not scored",
    "converted": "converted, not verified",
    "refused": "refused",
}


@dataclass(frozen=True)
class Verdict:
    """What is known of one artefact.

    Args:
        engine: its name.
        precision: of weights and arithmetic.
        status: ``verified``: compared with torch and scored; ``compared``: there was nothing to score
            it on; ``converted``: the engine does not run here; ``refused``: not to be used.
        reason: of a refusal, or why something was not done; a sentence.
        difference: from torch, relative to the largest output.
        equal_labels: share of equal classes.
        metric: title of the score.
        unit: of the score.
        torch_score, engine_score: on the same pictures of the exported size.
        drop: by how much the engine is worse.
        drops: the same by class.
        images: that were scored.
        version: of the engine.
        exporter: by which the graph left torch.
        exporter_reason: why it was not the usual one.
        quantizer: what made it int8, see :class:`densekd.export.engines.contract.Conversion`.
        calibrated: training pictures that ranges were measured on.
        kept_float: layers of an int8 graph that stayed float.
        note: what should be known besides, a sentence.
        bytes: of the artefact on disk.
        folder: where it lies; empty where it was not kept.
        earlier: folder of an earlier artefact that stays where this one was refused; mostly empty.
    """

    engine: str
    precision: Precision
    status: Status
    reason: str = ""
    difference: float | None = None
    equal_labels: float | None = None
    metric: str = ""
    unit: str = ""
    torch_score: float | None = None
    engine_score: float | None = None
    drop: float | None = None
    drops: dict[str, float] = field(default_factory=dict)
    images: int = 0
    version: str = ""
    exporter: str = ""
    exporter_reason: str = ""
    quantizer: str = ""
    calibrated: int = 0
    kept_float: tuple[str, ...] = ()
    note: str = ""
    bytes: int = 0
    folder: str = ""
    earlier: str = ""

    @property
    def passed(self) -> bool:
        """Whether the artefact may be used."""
        return self.status != "refused"

    def to_json(self) -> dict[str, Any]:
        """Return what files hold of it; where they lie they know themselves."""
        content = asdict(self)
        del content["folder"]
        del content["earlier"]
        return content
