"""List the licenses of everything that an installation of densekd brings, as a table in Markdown.

    python .ci/licenses.py > docs/licenses.md

Exits with 1 where a license is unknown or asks more of a person than these do.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Words by which a license is known; the first that fits names it.
LICENSES = {
    r"nvidia|cuda": "NVIDIA, may be passed on with a program",
    r"apache": "Apache-2.0",
    r"bsd|3-clause|2-clause": "BSD",
    r"\bmit\b|mit license": "MIT",
    r"mpl|mozilla": "MPL-2.0",
    r"psf|python software foundation": "PSF-2.0",
    r"isc": "ISC",
    r"hpnd": "HPND",
    r"lgpl": "LGPL",
    r"unlicense|cc0|public domain": "public domain",
    r"zlib": "Zlib",
}
REFUSED = re.compile(r"agpl|affero|non-?commercial|(?<!l)gpl", re.IGNORECASE)


def dependencies(name: str, extras: set[str], found: dict[str, Distribution]) -> None:
    """Collect what a distribution requires here, with the requirements of these."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return
    for text in package.requires or []:
        requirement = Requirement(text)
        # A requirement of an extra holds where the extra was asked for.
        marker = requirement.marker
        wanted = [extra for extra in ("", *extras) if marker is None or marker.evaluate({"extra": extra})]
        key = canonicalize_name(requirement.name)
        if not wanted or (key in found and not requirement.extras):
            continue
        try:
            found.setdefault(key, distribution(requirement.name))
        except PackageNotFoundError:
            continue
        dependencies(requirement.name, set(requirement.extras), found)


def license_of(package: Distribution) -> str:
    """Return what a distribution says of its license: expression, classifiers, field, or its file's beginning."""
    # NVIDIA's libraries only call theirs "proprietary".
    if package.name.startswith(("nvidia-", "cuda-")):
        return "nvidia"
    metadata = package.metadata
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License")]
    said = [metadata.get("License-Expression"), ", ".join(classifiers), metadata.get("License", "").partition("\n")[0]]
    files = [file for file in package.files or [] if "LICENSE" in file.name.upper()]
    said += [file.read_text()[:80] for file in files[:1]]
    known = [text for text in said if text and named(text)]
    return (known or [text for text in said if text] or [""])[0]


def named(text: str) -> str | None:
    """Return a license's usual name; None for one that nobody has looked at."""
    if REFUSED.search(text):
        return None
    for words, name in LICENSES.items():
        if re.search(words, text, re.IGNORECASE):
            return name
    return None


def main() -> int:
    """Print the table; the status says whether all are known."""
    found: dict[str, Distribution] = {}
    dependencies("densekd", {"dev"}, found)
    found.pop("densekd", None)
    print("# Licenses of what densekd installs\n")
    print("With all extras that are tested; of teachers and data see [their page](guides/model-licenses.md).")
    print("Made by `python .ci/licenses.py > docs/licenses.md`.\n")
    print("| package | license |\n|---|---|")
    unknown = []
    for name in sorted(found):
        text = license_of(found[name])
        license_name = named(text)
        if license_name is None:
            unknown.append(f"{name}: {text or 'says nothing'}")
        print(f"| {name} | {license_name or text} |")
    for line in unknown:
        print(f"unknown or refused: {line}", file=sys.stderr)
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
