"""What is said of a service that was written."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out


def show_service(service: Any) -> None:
    """What was written, for people."""
    out.print(f"{service.folder}/ written, a service of kind {service.kind}: {service.summary}")
    out.print(f"start it with {service.start}")
    out.warn(*service.notes)
