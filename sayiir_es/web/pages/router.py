"""All routes of the pages; each page is a module that has a router of its own."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)
