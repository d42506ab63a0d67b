"""How numbers are written in a report: one decimal for percent, a true minus sign, no line break before a unit."""

NO_BREAK = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

# Smaller differences are printed as 0.0, so the sentences call them level.
LEVEL = 0.05


def decimal(value: float | None) -> str:
    """Write a percentage without its sign: ``48.0``; a dash for None."""
    return DASH if value is None else f"{value:.1f}"


def percent(value: float) -> str:
    """Write a percentage with its sign: ``48.0 %``."""
    return f"{value:.1f}{NO_BREAK}%"


def share(part: float, of: float) -> str:
    """Write one number as a whole percentage of another: ``51 %``."""
    return f"{100 * part / of:.0f}{NO_BREAK}%"


def points(value: float) -> str:
    """Write a distance in percentage points, without direction: ``7.1 points``."""
    return f"{abs(value):.1f}{NO_BREAK}points"


def signed(value: float | None) -> str:
    """Write a difference with its sign: ``+7.1``, or a plain ``0.0`` when it rounds to that; nothing for None."""
    if value is None:
        return ""
    digits = f"{abs(value):.1f}"
    if digits == "0.0":
        return digits
    return ("+" if value > 0 else MINUS) + digits


def count(value: float | None) -> str:
    """Write a large count with its SI prefix and about three digits: ``11.9 M``; a dash for None."""
    if value is None:
        return DASH
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999 960 000 would be printed as 1000 M: it belongs to the next prefix already.
        if value >= 0.9995 * scale:
            scaled = value / scale
            return f"{scaled:.{1 if scaled < 99.95 else 0}f}{NO_BREAK}{prefix}"
    return f"{value:.0f}"


def whole(value: float) -> str:
    """Write a whole number, in groups of three from five digits on: ``8000``, ``80 000``."""
    return f"{value:,.0f}".replace(",", NO_BREAK if abs(value) >= 10_000 else "")
