"""Audits, and their tables."""

from pathlib import Path

from fastapi import APIRouter

from ..audit.spec import Name
from .audits import AuditList, AuditShown, audit_shown, audits_of


def audit_routes(home: Path) -> APIRouter:
    """What audits there are, and what came of each."""
    router = APIRouter(prefix="/api/audits", tags=["audits"])

    @router.get("")
    def listed() -> AuditList:
        """The audits of this home."""
        return audits_of(home)

    @router.get("/{name}")
    def shown(name: Name) -> AuditShown:
        """One audit with its table, as far as it is done."""
        return audit_shown(home, name)

    return router
