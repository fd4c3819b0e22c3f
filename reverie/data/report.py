"""What was found at a path: counts that add up, and a reason with a name for every file that is not used.

    found = used + skipped
    skipped = ignored (not data: system files, captions) + unreadable (data that cannot be read)
Readers write into the report while they read. More than a tenth of the data unreadable stops a run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from reverie.core.errors import BAD_DATA, UserError

TOLERATED = 0.10  # share of unreadable files above which a run stops


@dataclass
class Report:
    """The findings about one path, as plain values (`to_json`) or as lines of text (`lines`)."""

    path: str
    found: int = 0
    used: int = 0
    ignored: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    labels: dict[str, int] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def ignore(self, name: str, reason: str) -> None:
        """A file that is no data: counted as skipped, tolerated in any number."""
        self.ignored.append((name, reason))

    def refuse(self, name: str, reason: str) -> None:
        """Data that cannot be used: counted as skipped, tolerated up to a tenth."""
        self.unreadable.append((name, reason))

    def remark(self, what: str, name: str) -> None:
        """Something worth knowing about a file that is used."""
        self.remarks.setdefault(what, []).append(name)

    def note(self, text: str) -> None:
        """Something worth knowing about the whole; said once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def skipped(self) -> int:
        return len(self.ignored) + len(self.unreadable)

    def hold(self) -> None:
        """Raise UserError if nothing is left to use, or if more than a tenth of the data cannot be read."""
        total = self.used + len(self.unreadable)
        listed = "; ".join(f"{name} ({reason})" for name, reason in self.unreadable[:5])
        more = f"; and {len(self.unreadable) - 5} more" if len(self.unreadable) > 5 else ""
        if not self.used:
            reason = f"none of {total} can be read: {listed}{more}" if total else "no images, arrays, signals or tables"
            raise UserError(f"'{self.path}' holds nothing to learn from: {reason}", code=BAD_DATA)
        if len(self.unreadable) > TOLERATED * total:
            raise UserError(
                f"{len(self.unreadable)} of {total} files in '{self.path}' cannot be read, more than the "
                f"{TOLERATED:.0%} that may be skipped: {listed}{more}. Repair or remove them first",
                code=BAD_DATA,
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values with stable names."""
        return {
            "path": self.path,
            "found": self.found,
            "used": self.used,
            "skipped": [
                {"file": name, "reason": reason, "data": data}
                for data, group in ((True, self.unreadable), (False, self.ignored))
                for name, reason in group
            ],
            "formats": dict(self.formats),
            "modes": dict(self.modes),
            "sizes": dict(self.sizes),
            "labels": self.labels,
            "duplicates": self.duplicates,
            "remarks": self.remarks,
            "notes": self.notes,
            "error": self.error,
            **self.facts,
        }
