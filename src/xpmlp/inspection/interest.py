"""Which columns to look at first, where there are more than can be looked at."""

from .summary import ColumnSummary


def by_interest(summaries: list[ColumnSummary], target: str | None = None) -> list[ColumnSummary]:
    """Return the columns, those first that a person should see.

    The target; what a network cannot learn from as it is (values missing or infinite, no numbers and no categories);
    duplicates; then the ones with the most different values; constant ones last.
    """

    def rank(summary: ColumnSummary) -> tuple[int, int]:
        if summary.name == target:
            return 0, 0
        if summary.infinite or summary.kind == "other":
            return 1, 0
        if summary.is_constant:
            return 5, 0
        if summary.missing:
            return 2, -summary.missing
        if summary.duplicate_of is not None:
            return 3, 0
        return 4, -(summary.distinct or 0)

    return sorted(summaries, key=rank)


def concerns(summary: ColumnSummary) -> list[str]:
    """Return what is noteworthy of a column, in words."""
    found = []
    if summary.missing:
        found.append(f"{summary.missing:,} missing")
    if summary.infinite:
        found.append(f"{summary.infinite:,} infinite")
    if summary.is_constant:
        found.append("constant" if summary.count else "empty")
    if summary.duplicate_of is not None:
        found.append(f"same as {summary.duplicate_of}")
    if summary.kind == "other":
        found.append("no numbers, no categories")
    return found
