"""nginx: files over loopback to many connections at once."""

from __future__ import annotations

import concurrent.futures
import hashlib
import http.client
import pathlib
import os
import signal
import socket

from clients_lib import inputs as shared
from clients_lib.client import Client, register
from clients_lib.session import Session, free_port

_FILES = 400
_ROUNDS = 5
_CONNECTIONS = 8
_CONFIG = """
daemon off;
worker_processes 2;
error_log stderr error;
pid {work}/nginx.pid;
{user}
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  gzip on;
  gzip_min_length 100;
  gzip_comp_level 6;
  gzip_types text/plain;
  types {{ text/plain txt; }}
  output_buffers 4 64k;
  sendfile off;
  server {{
    listen 127.0.0.1:{port};
    root {inputs}/tree;
    etag off;
    location / {{ ssi on; ssi_types text/plain; }}
    location /list/ {{ alias {inputs}/tree/; autoindex on; autoindex_format json; }}
    location /loop/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_set_header Accept-Encoding identity; }}
  }}
}}
"""


@register
class Nginx(Client):
    """Pools for each request, zlib for each reply, two workers, one reload in the middle."""

    name = "nginx"
    summary = "10,000 requests on 8 connections: gzip, server-side includes, listings, proxied to itself; a reload."
    programs = {"nginx": "nginx"}
    normalised = "of replies compared are status, body and encoding; Date and the other headers are not"

    def prepare(self, inputs: pathlib.Path) -> None:
        shared.tree(inputs / "tree", _FILES, 30_000)
        for path in (inputs / "tree").rglob("*"):
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def run(self, session: Session) -> None:
        port = free_port()
        user = "user nobody nogroup;" if os.getuid() == 0 else ""
        config = session.work / "nginx.conf"
        config.write_text(_CONFIG.format(work=session.work, inputs=session.inputs, port=port, user=user))
        argv = ["nginx", "-p", session.work, "-c", config]
        with session.server("nginx", argv, lambda: _answers(port), stop_signal=signal.SIGQUIT) as server:
            for half in ("before reload", "after reload"):
                with session.timed(half):
                    session.observe(f"{half}: replies", fetch_all(port, _paths(session.inputs / "tree")))
                if half == "before reload":
                    os.kill(server.pid, signal.SIGHUP)


def _paths(tree: pathlib.Path) -> list[str]:
    files = [f"/{path.relative_to(tree)}" for path in sorted(tree.rglob("*.txt"))]
    folders = [f"/list/{path.relative_to(tree)}/" for path in sorted(tree.iterdir())]
    return (files + ["/loop" + path for path in files] + folders) * _ROUNDS + ["/none.txt"]


def fetch_all(port: int, paths: list[str]) -> bytes:
    """One line a path: status, encoding and digest of the reply; fetched on several connections."""
    with concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as pool:
        shares = [pool.submit(_fetch, port, paths[i::_CONNECTIONS]) for i in range(_CONNECTIONS)]
        return "\n".join(line for share in shares for line in share.result()).encode()


def _fetch(port: int, paths: list[str]) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    lines = []
    for path in paths:
        try:
            reply = _get(connection, path)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            # A worker that leaves after a reload closes its idle connections; that is not an error.
            connection.close()
            reply = _get(connection, path)
        lines.append(f"{path} {reply}")
    connection.close()
    return lines


def _get(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    reply = connection.getresponse()
    body = reply.read()
    return f"{reply.status} {reply.getheader('Content-Encoding')} {hashlib.sha256(body).hexdigest()}"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
