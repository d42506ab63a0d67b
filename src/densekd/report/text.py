"""Numbers as a report writes them: decimals of their metric, a true minus, no break before a unit."""

from densekd.metric_names import MetricName

NO_BREAK = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def decimal(value: float | None, metric: MetricName) -> str:
    """Write a score without its unit: ``48.0``, ``0.113``; a dash for None."""
    if value is None:
        return DASH
    return f"{value:.{metric.digits}f}"


def share(part: float, of: float) -> str:
    """Write one number as a whole percentage of another: ``51 %``."""
    return f"{100 * part / of:.0f}{NO_BREAK}%"


def distance(value: float, metric: MetricName) -> str:
    """Write a difference of scores without direction: ``7.1 points`` of percent, ``0.012``, ``0.31 m``."""
    if metric.unit == "%":
        return f"{abs(value):.{metric.digits}f}{NO_BREAK}points"
    return metric.format(abs(value))


def signed(value: float | None, metric: MetricName) -> str:
    """Write a difference with its sign: ``+7.1``, or a plain ``0.0`` when it rounds to that.

    None becomes an empty text.
    """
    if value is None:
        return ""
    digits = f"{abs(value):.{metric.digits}f}"
    if float(digits) == 0:
        return digits
    sign = "+" if value > 0 else MINUS
    return sign + digits


def count(value: float | None) -> str:
    """Write a large count with its SI prefix and about three digits: ``11.9 M``.

    None becomes a dash.
    """
    if value is None:
        return DASH
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999 960 000 would be printed as 1000 M: it belongs to the next prefix already.
        if value >= 0.9995 * scale:
            scaled = value / scale
            digits = 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{NO_BREAK}{prefix}"
    return f"{value:.0f}"


def whole(value: float) -> str:
    """Write a whole number, in groups of three from five digits on: ``8000``, ``80 000``."""
    # Four digits are read without a gap.
    gap = NO_BREAK if abs(value) >= 10_000 else ""
    return f"{value:,.0f}".replace(",", gap)
