"""A small Hub on loopback, spoken to by the real huggingface_hub: `with Hub() as hub: hub.add("me/model", folder)`.

It knows revisions, private repositories and gated ones; `hub.log` holds every request. Another process is led there by
`hub.environment(home)`, this one by the fixture `hub` of test_hub.py.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Hub:
    """Attributes: `url`; `log`, a list of (method, path)."""

    def __init__(self):
        self.repositories = {}  # id -> {revision: {file name: content}}
        self.tokens = {}  # id of a private repository -> its token
        self.expired = set()  # tokens that are refused everywhere
        self.gated = set()  # ids of those whose files are given only to who accepted their terms, so to nobody here
        self.log = []

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """From now on nobody answers."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add(self, name, folder, revision="main", token=None):
        """Publish the files of a folder as a repository; a private one if there is a token."""
        folder = Path(folder)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories.setdefault(name, {})[revision] = files
        if token:
            self.tokens[name] = token

    def downloads(self):
        """list of str: the names of the files whose content was asked for, sorted."""
        paths = [path.partition("/resolve/")[2] for method, path in self.log if method == "GET"]
        return sorted(path.partition("/")[2] for path in paths if path)

    def environment(self, home):
        """dict: the environment variables with which another process uses this Hub, with its cache in `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    @staticmethod
    def commit(name, revision):
        return hashlib.sha1(f"{name} {revision}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path))
        if path.startswith("/api/models/"):
            name, _, rest = self.repository_in(path.removeprefix("/api/models/"))
            kind, _, revision = rest.partition("/")
        else:
            name, _, rest = self.repository_in(path[1:])
            kind, _, rest = rest.partition("/")
            revision, _, file = rest.partition("/")
        if self.token() in self.hub.expired:
            return self.answer(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
        versions = self.hub.repositories.get(name)
        if versions is None or self.hub.tokens.get(name) not in (None, self.token()):
            # The true Hub does not tell a stranger which of the two it is.
            return self.answer(401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        revision = next((r for r in versions if (revision or "main") in (r, self.hub.commit(name, r))), None)
        if revision is None:
            return self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        files, commit = versions[revision], self.hub.commit(name, revision)
        if kind in ("", "revision"):
            siblings = [{"rfilename": file} for file in files]
            return self.answer(200, json.dumps({"id": name, "sha": commit, "siblings": siblings, "tags": []}).encode())
        if kind == "tree":
            tree = [
                {"type": "file", "path": file, "size": len(data), "oid": etag(data)} for file, data in files.items()
            ]
            return self.answer(200, json.dumps(tree).encode())
        if name in self.hub.gated:
            return self.answer(403, headers={"X-Error-Code": "GatedRepo"})
        if file not in files:
            return self.answer(404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{etag(files[file])}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return self.answer(200, files[file], headers)

    def repository_in(self, path):
        owner, _, rest = path.partition("/")
        name, slash, rest = rest.partition("/")
        return f"{owner}/{name}", slash, rest

    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def etag(data):
    return hashlib.sha1(data).hexdigest()
