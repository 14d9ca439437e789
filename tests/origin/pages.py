"""Pages of metrics, as values to compare."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def shown(registry: CollectorRegistry) -> Sequence[object]:
    """Return a page as values, without the moments at which counters were made."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return sorted(
        (
            family.name,
            family.type,
            family.documentation,
            sorted((s.name, sorted(s.labels.items()), s.value) for s in family.samples),
        )
        for family in families
        if not family.name.endswith("_created")
    )
