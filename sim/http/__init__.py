"""HTTP inside a simulation: ASGI applications as services, reached by httpx and requests; other sockets are refused."""

from __future__ import annotations

from .asgi import AppFailed, ASGIApp
from .install import install_http, installed_http, uninstall_http
from .messages import HttpRequest
from .service import HttpEffect, HttpService
from .sockets import SocketRefused

__all__ = [
    "ASGIApp",
    "AppFailed",
    "HttpEffect",
    "HttpRequest",
    "HttpService",
    "SocketRefused",
    "install_http",
    "installed_http",
    "uninstall_http",
]
