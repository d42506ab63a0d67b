"""Quantization-aware training (QAT): fake-quantized students, and their form for ONNX."""

from densekd.quantize.apply import apply_plan, plan_of, remove
from densekd.quantize.export import exportable
from densekd.quantize.make_plan import describe_plan, make_plan
from densekd.quantize.observe import calibrate, is_calibrated, observe, quantizers, update_ranges
from densekd.quantize.plan import LAST, QuantizationPlan, parse_plan

__all__ = [
    "LAST",
    "QuantizationPlan",
    "apply_plan",
    "calibrate",
    "describe_plan",
    "exportable",
    "is_calibrated",
    "make_plan",
    "observe",
    "parse_plan",
    "plan_of",
    "quantizers",
    "remove",
    "update_ranges",
]
