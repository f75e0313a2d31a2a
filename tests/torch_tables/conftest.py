"""The summary of a run: how many cases of torch's tables were the same."""

from collections import Counter


def pytest_terminal_summary(terminalreporter):
    tables = {}
    for report in (*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])):
        for key, value in report.user_properties:
            if key == "torch table" and report.when == "call":
                tables.setdefault(value[0], Counter()).update(value[1])
    if tables:
        terminalreporter.section("cases of torch's tables")
    for table, counts in tables.items():
        cases = ", ".join(f"{number} {name}" for name, number in counts.items())
        terminalreporter.write_line(f"{table}: {sum(counts.values())} cases, {cases}")
