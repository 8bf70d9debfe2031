"""What scripts/release asks of JSON: what would be installed, what is known of its weaknesses, and for which version.

python tools/release.py pinned  < REPORT.json    of `pip install --dry-run --report -`; prints requirements
python tools/release.py audited < AUDIT.json     of `pip-audit --format json`; says what it found, 1 if weaknesses
python tools/release.py versioned VERSION < BOM  puts the version into a CycloneDX bill of materials
"""

from __future__ import annotations

import json
import sys
from typing import Any


def pinned(report: dict[str, Any]) -> list[str]:
    """`name==version` of everything that would be installed, sorted, charloom itself left out."""
    found = (each["metadata"] for each in report["install"])
    return sorted(f"{each['name']}=={each['version']}" for each in found if each["name"] != "charloom")


def audited(audit: dict[str, Any]) -> tuple[list[str], str]:
    """The weaknesses that are known, a line each, and how many packages were looked up at all."""
    known = [each for each in audit["dependencies"] if "skip_reason" not in each]
    weak = [f"{each['name']} {each['version']}: {found['id']}" for each in known for found in each["vulns"]]
    return weak, f"{len(known)} of {len(audit['dependencies'])} packages looked up, {len(weak)} weaknesses known"


def versioned(bill: dict[str, Any], version: str) -> dict[str, Any]:
    """The bill with the version of what it describes."""
    component = {**bill["metadata"]["component"], "version": version}
    return {**bill, "metadata": {**bill["metadata"], "component": component}}


def main(arguments: list[str], given: str) -> int:
    """Do one of the three."""
    data = json.loads(given)
    match arguments:
        case ["pinned"]:
            sys.stdout.write("\n".join(pinned(data)) + "\n")
        case ["audited"]:
            weak, said = audited(data)
            sys.stderr.write("".join(f"release: {line}\n" for line in [*weak, said]))
            return 1 if weak else 0
        case ["versioned", version]:
            sys.stdout.write(json.dumps(versioned(data, version), indent=2) + "\n")
        case _:
            raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.read()))
