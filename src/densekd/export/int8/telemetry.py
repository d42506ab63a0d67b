"""Telemetry of OpenVINO and NNCF, which report their use to their makers: off."""

import sys

_PACKAGE = "openvino_telemetry"


def forbid_telemetry() -> None:
    """Let nobody import what sends reports of use; OpenVINO and NNCF then have stand-ins that send nothing.

    It is to be called before these are imported. Somebody who imported the package before has decided.
    """
    # None in the place of a module: an import of it is an ImportError, which both expect.
    sys.modules.setdefault(_PACKAGE, None)  # type: ignore[arg-type]
