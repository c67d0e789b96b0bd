"""What starts the servers that answer as a test wants."""

from __future__ import annotations

from collections.abc import Callable

from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

Serve = Callable[[DiffusionServiceServicer], str]
"""Starts a real gRPC server of a servicer; returns its address."""
