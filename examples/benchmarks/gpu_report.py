"""The findings of the check on a GPU in Markdown."""

from typing import Any

Row = dict[str, Any]
TITLES = {
    "methods": "Losses against those of a CPU",
    "speed": "Time and memory of the published sizes, bf16",
    "profile": "Gaps and waits",
    "training": "Whole runs",
}


def markdown(report: Row) -> str:
    """The report: versions, then a section for each part.

    Args:
        report: ``system`` and the rows of each part.
    """
    system = ", ".join(f"{name} {value}" for name, value in report["system"].items())
    lines = [f"# Check on {report['system']['device']}", "", system, ""]
    for part, title in TITLES.items():
        rows = report["parts"].get(part, [])
        found = [row for row in rows if "error" not in row and "skipped" not in row]
        lines += [f"## {title}", "", _count(rows, found), ""]
        lines += [f"- **{row['name']}**: {row['error']}" for row in rows if "error" in row]
        if skipped := [row["name"] for row in rows if "skipped" in row]:
            lines += [f"- not run, no time left: {', '.join(skipped)}"]
        lines += ["", *(_texts(found) if part in ("profile", "training") else _table(found)), ""]
    return "\n".join(lines)


def _count(rows: list[Row], found: list[Row]) -> str:
    apart = [row["name"] for row in found if row.get("agrees") is False]
    said = f"; NOT AGREEING: {', '.join(apart)}" if apart else ""
    return f"{len(found)} of {len(rows)} done, in {sum(row.get('seconds', 0) for row in rows):.0f} s{said}."


def _table(rows: list[Row]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)] if rows else []
    return lines + ["| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in rows]


def _texts(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        lines += [f"**{row['name']}**", ""]
        for key, value in row.items():
            if key == "summary":
                lines += ["```text", value, "```"]
            elif isinstance(value, list):
                lines += [f"- {key}: {'' if value else 'none'}", *(f"  - {_inline(each)}" for each in value)]
            elif key != "name":
                lines.append(f"- {key}: {_cell(value)}")
        lines.append("")
    return lines


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(each)}" for key, each in value.items())
    return str(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
